// SPDX-License-Identifier: Apache-2.0
/*
 * Runtime specs (OCI runtime-spec, config.md) on the JSON DOM: a default for Linux, and edits that
 * keep whatever else stands in the document. Setters create the objects they need; those that
 * cannot fail return nothing. Order counts as the caller makes it: image config first, then what
 * the user asked for.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/strmap.h"
#include "base/strv.h"
#include "oci/image.h"

#define SPEC_MAX_BYTES ((size_t)4 << 20)

/* "rootfs", the usual namespaces, mounts and masks, 14 capabilities, 1024 files, no devices, cgroup
 * /<ns>/<id>. The caller puts it (autoptr(json_object)). */
struct json_object *spec_new(const char *ns, const char *id);
/* A whole document; ERR_INVALID when it is not a spec's object. */
CHECKED struct err *spec_parse(const char *text, size_t len, struct json_object **ret);
/* What goes into a container's Any; caller frees. */
char *spec_to_text(struct json_object *spec, size_t *ret_len);
/* Its type URL. */
#define SPEC_TYPE_URL "types.containerd.io/opencontainers/runtime-spec/1/Spec"

/* What an image says: environment, command (unless `args` has some, which stand for Cmd), directory,
 * user and the user's groups. */
CHECKED struct err *spec_apply_image(struct json_object *spec, const struct image_config *config,
	const struct strv *args, const char *passwd, const char *group);

/* process */
void spec_set_args(struct json_object *spec, const struct strv *args);
/* "K=V" replaces a K that is there or is added, "K" alone removes it. */
void spec_add_env(struct json_object *spec, const struct strv *env);
/* As above, but what the spec has wins: how an image's environment comes in. */
void spec_add_default_env(struct json_object *spec, const struct strv *env);
#define SPEC_DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
void spec_set_cwd(struct json_object *spec, const char *cwd);
/* Terminal, and TERM=xterm. */
void spec_set_tty(struct json_object *spec);
void spec_set_console_size(struct json_object *spec, unsigned width, unsigned height);
void spec_set_no_new_privileges(struct json_object *spec, bool on);
void spec_set_rlimit(struct json_object *spec, const char *type, uint64_t soft, uint64_t hard);
void spec_set_umask(struct json_object *spec, uint32_t umask);
void spec_set_apparmor(struct json_object *spec, const char *profile);
void spec_set_selinux(struct json_object *spec, const char *label);
void spec_set_oom_score_adj(struct json_object *spec, int value);

/*
 * "user", "uid", "user:group", "uid:gid" and mixtures. `passwd` and `group` are the texts of the
 * rootfs's files (NULL: not there); they are needed when spec_user_needs_files() says so, and to
 * find the group of a bare uid. All-digit ids beyond 2^31-1 are ERR_INVALID, never names;
 * ERR_NOT_FOUND "no users found" / "no groups found".
 */
CHECKED struct err *spec_set_user(
	struct json_object *spec, const char *user, const char *passwd, const char *group);
/* Whether a name has to be looked up. */
bool spec_user_needs_files(const char *user);
void spec_set_uid_gid(struct json_object *spec, uint32_t uid, uint32_t gid);
/* The groups that list the user (a name or a uid) become the additional ones; "user:group" has
 * none. Missing files or users are no error. */
CHECKED struct err *spec_set_groups_of(
	struct json_object *spec, const char *user, const char *passwd, const char *group);

/* Names with their CAP_ prefix; ERR_INVALID for one that is unknown. */
CHECKED struct err *spec_add_caps(struct json_object *spec, const struct strv *caps);
CHECKED struct err *spec_drop_caps(struct json_object *spec, const struct strv *caps);
/* Bounding, effective and permitted become exactly these. */
void spec_set_caps(struct json_object *spec, const struct strv *caps);
/* All that this process has in effect. */
void spec_all_caps(struct json_object *spec);

/* root, hostname, mounts, annotations */
void spec_set_rootfs(struct json_object *spec, const char *path);
void spec_set_rootfs_readonly(struct json_object *spec, bool readonly);
void spec_set_hostname(struct json_object *spec, const char *name);
void spec_add_mount(struct json_object *spec, const char *type, const char *source,
	const char *destination, const struct strv *options);
/* ctr's form: "type=bind,src=/a,dst=/b,options=rbind:ro", commas in values within double quotes
 * around the field; ERR_INVALID. */
CHECKED struct err *spec_add_mount_text(struct json_object *spec, const char *text);
void spec_remove_mounts(struct json_object *spec, const char *destination);
void spec_set_annotations(struct json_object *spec, const struct strmap *annotations);

/* linux */
/* Join the namespace at `path`, or a new one (""), replacing what is there. The type is one of
 * "pid network mount ipc uts user cgroup time"; ERR_INVALID. */
CHECKED struct err *spec_set_namespace(
	struct json_object *spec, const char *type, const char *path);
void spec_remove_namespace(struct json_object *spec, const char *type);
/* The host's network, /etc/hosts and /etc/resolv.conf (read-only) and its HOSTNAME. */
void spec_host_network(struct json_object *spec, const char *hostname);
void spec_add_id_mapping(
	struct json_object *spec, bool is_gid, uint32_t container, uint32_t host, uint32_t size);
/* All capabilities, nothing masked or read-only, writable sysfs and cgroups, no confinement. Goes
 * with spec_allow_all_devices() and spec_add_host_devices() unless the user asked for less. */
void spec_privileged(struct json_object *spec);
void spec_set_masked_paths(struct json_object *spec, const struct strv *paths);	  /* NULL: none */
void spec_set_readonly_paths(struct json_object *spec, const struct strv *paths); /* NULL: none */
void spec_set_cgroup(struct json_object *spec, const char *path);
void spec_set_rootfs_propagation(struct json_object *spec, const char *propagation);
void spec_allow_default_devices(struct json_object *spec); /* null zero full random urandom ... */
void spec_allow_all_devices(struct json_object *spec);
/* A device of the host, or all in a directory, with access to it ("rwm"). */
CHECKED struct err *spec_add_device(
	struct json_object *spec, const char *host_path, const char *path, const char *access);
CHECKED struct err *spec_add_host_devices(struct json_object *spec);
void spec_set_memory_limit(struct json_object *spec, uint64_t bytes);
void spec_set_cpu_quota(struct json_object *spec, int64_t quota_us, uint64_t period_us);
void spec_set_cpu_shares(struct json_object *spec, uint64_t shares);
void spec_set_cpu_burst(struct json_object *spec, uint64_t burst_us);
void spec_set_cpuset(
	struct json_object *spec, const char *cpus, const char *mems); /* NULL: as is */
void spec_set_pids_limit(struct json_object *spec, int64_t limit);
/* containerd's default profile for this architecture; depends on the capabilities the spec has, so
 * it comes after them. */
void spec_set_seccomp_default(struct json_object *spec);
/* A profile of the user's: the JSON object of linux.seccomp. */
CHECKED struct err *spec_set_seccomp(struct json_object *spec, const char *text, size_t len);
