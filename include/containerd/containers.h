// SPDX-License-Identifier: Apache-2.0
/* Containers: what is to run. See containerd/client.h for the conventions. */
#pragma once

#include <containerd/client.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ctd_container {
	const char *id, *image;
	struct ctd_labels labels;
	const char *runtime;
	const char *runtime_options_type; /* "" when there are none */
	const void *runtime_options;	  /* protobuf of that type */
	size_t runtime_options_len;
	const char *spec; /* the OCI runtime spec as JSON, "" when there is none */
	const char *spec_type;
	const char *snapshotter, *snapshot_key;
	struct ctd_time created_at, updated_at;
	const char *sandbox;
	struct ctd_strings extensions; /* their names */
	struct ctd_mounts rootfs; /* of the snapshot, right after ctd_container_create() only */
};

struct ctd_containers {
	size_t n;
	const struct ctd_container *const *items;
};

CTD_CHECKED CTD_API struct ctd_error *ctd_container_list(struct ctd_client *client,
	const char *const *filters, size_t n_filters, struct ctd_containers **ret);
CTD_CHECKED CTD_API struct ctd_error *ctd_container_get(
	struct ctd_client *client, const char *id, struct ctd_container **ret);
/* Sets the labels given; an empty value removes a label. */
CTD_CHECKED CTD_API struct ctd_error *ctd_container_label(struct ctd_client *client, const char *id,
	struct ctd_labels labels, struct ctd_container **ret);
/* Also removes the snapshot, unless it is to be kept. */
CTD_CHECKED CTD_API struct ctd_error *ctd_container_delete(
	struct ctd_client *client, const struct ctd_container *container, bool keep_snapshot);

/* --- making one --- */

struct ctd_spec_mount {
	const char *type, *source, *destination;
	struct ctd_strings options;
};

struct ctd_namespace_join {
	const char *type; /* pid, network, uts, mount, user, ipc, cgroup */
	const char *path;
};

struct ctd_id_map {
	uint32_t container_id, host_id, length;
};

/* What differs from the defaults. Zero and NULL: the default. */
struct ctd_spec_options {
	size_t size;
	struct ctd_strings args; /* replace the image's entry point and command */
	struct ctd_strings env;	 /* NAME=value sets, NAME removes */
	const char *cwd, *user, *hostname;
	bool tty, read_only, new_privileges, net_host;
	bool privileged, without_host_devices;
	struct ctd_labels annotations;
	size_t n_mounts;
	const struct ctd_spec_mount *mounts;
	struct ctd_strings cap_add, cap_drop; /* "CAP_..." */
	bool seccomp; /* containerd's default profile, or the one of the file below */
	const char *seccomp_profile; /* path */
	const char *apparmor_profile;
	uint64_t cpu_shares, cpu_period, memory_limit;
	bool has_cpu_quota;
	int64_t cpu_quota;
	const char *cpuset_cpus, *cpuset_mems;
	size_t n_joins;
	const struct ctd_namespace_join *joins;
	bool has_cgroup; /* also with an empty path: none */
	const char *cgroup;
	struct ctd_strings devices; /* paths of devices or of folders of them */
	const char *rootfs_propagation, *rdt_class;
	bool has_nofile;
	uint64_t nofile_soft, nofile_hard;
	size_t n_uid_maps, n_gid_maps;
	const struct ctd_id_map *uid_maps, *gid_maps;
};

struct ctd_container_options {
	size_t size;
	const char *id;
	const char *image;    /* the rootfs is a new snapshot of it, unpacked where it is not yet */
	const char *platform; /* of the image; NULL: this machine's */
	const char *rootfs;   /* instead of an image: an absolute path */
	const char *spec_file; /* instead of both: a complete spec as JSON */
	const char *snapshotter;
	struct ctd_labels labels, snapshot_labels;
	bool remap_labels;   /* let the snapshotter shift ids, by labels */
	const char *runtime; /* NULL: io.containerd.runc.v2 */
	const char *runtime_config_path;
	const char *runc_binary, *runc_root;
	bool runc_systemd_cgroup;
	const char *sandbox;
	struct ctd_spec_options spec;
};

#define CTD_CONTAINER_INIT                                                                         \
	((struct ctd_container_options){.size = sizeof(struct ctd_container_options),              \
		.spec.size = sizeof(struct ctd_spec_options)})

/* Leaves nothing behind when it fails. */
CTD_CHECKED CTD_API struct ctd_error *ctd_container_create(struct ctd_client *client,
	const struct ctd_container_options *options, struct ctd_container **ret);

/* The spec that a container without any options would get, as JSON in *ret, which ctd_free()
 * frees. Talks to nobody. */
CTD_CHECKED CTD_API struct ctd_error *ctd_default_spec(const char **ret);

#ifdef __cplusplus
}
#endif
