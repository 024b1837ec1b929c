// SPDX-License-Identifier: Apache-2.0
#include "oci/spec.h"

#include <string.h>

#include "base/alloc.h"
#include "oci/spec-internal.h"

/* Old enough for every runtime in use, new enough for what stands in a spec of ours. */
#define SPEC_VERSION "1.1.0"

static const char *const default_caps[] = {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID",
	"CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP",
	"CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"};

static const char *const default_namespaces[] = {"pid", "ipc", "uts", "mount", "network"};

static const char *const default_masked[] = {"/proc/acpi", "/proc/asound", "/proc/kcore",
	"/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
	"/proc/sched_debug", "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/scsi"};

static const char *const default_readonly[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

static const struct {
	const char *destination, *type, *source, *options;
} default_mounts[] = {
	{"/proc", "proc", "proc", "nosuid,noexec,nodev"},
	{"/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"},
	{"/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"},
	{"/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"},
	{"/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"},
	{"/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"},
	{"/run", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"},
};

static void add_all(struct strv *v, const char *const *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		strv_add(v, items[i]);
}

static void add_default_process(struct json_object *spec)
{
	autoval(strv) caps = STRV_INIT;
	struct json_object *user = spec_object(spec, "process.user");

	spec_put_int(user, "uid", 0);
	spec_put_int(user, "gid", 0);
	spec_set_cwd(spec, "/");
	add_all(&caps, default_caps, ARRAY_LEN(default_caps));
	spec_set_caps(spec, &caps);
	spec_set_rlimit(spec, "RLIMIT_NOFILE", 1024, 1024);
	spec_set_no_new_privileges(spec, true);
}

static void add_default_mounts(struct json_object *spec)
{
	for (size_t i = 0; i < ARRAY_LEN(default_mounts); i++) {
		autoval(strv) options = STRV_INIT;

		strv_split(&options, default_mounts[i].options, ',');
		spec_add_mount(spec, default_mounts[i].type, default_mounts[i].source,
			default_mounts[i].destination, &options);
	}
}

static void add_default_linux(struct json_object *spec, const char *ns, const char *id)
{
	autoval(strv) masked = STRV_INIT;
	autoval(strv) readonly = STRV_INIT;
	autofree char *cgroup = xasprintf("/%s/%s", ns, id);
	struct json_object *namespaces = spec_array(spec, "linux.namespaces");
	struct json_object *deny = json_object_new_object();

	for (size_t i = 0; i < ARRAY_LEN(default_namespaces); i++) {
		struct json_object *o = json_object_new_object();

		spec_put_string(o, "type", default_namespaces[i]);
		json_object_array_add(namespaces, o);
	}
	json_object_object_add(deny, "allow", json_object_new_boolean(false));
	spec_put_string(deny, "access", "rwm");
	json_object_array_add(spec_array(spec, "linux.resources.devices"), deny);
	add_all(&masked, default_masked, ARRAY_LEN(default_masked));
	add_all(&readonly, default_readonly, ARRAY_LEN(default_readonly));
	spec_set_masked_paths(spec, &masked);
	spec_set_readonly_paths(spec, &readonly);
	spec_set_cgroup(spec, cgroup);
}

struct json_object *spec_new(const char *ns, const char *id)
{
	struct json_object *spec = json_object_new_object();

	spec_put_string(spec, "ociVersion", SPEC_VERSION);
	add_default_process(spec);
	spec_set_rootfs(spec, "rootfs");
	add_default_mounts(spec);
	add_default_linux(spec, ns, id);
	return spec;
}

struct err *spec_parse(const char *text, size_t len, struct json_object **ret)
{
	autoptr(json_object) o = NULL;

	if (len > SPEC_MAX_BYTES)
		return err_new(
			ERR_INVALID, "runtime spec: %zu bytes, more than %zu", len, SPEC_MAX_BYTES);
	TRY(err_wrap(json_parse(text, len, &o), "runtime spec"));
	if (!json_find_string(o, "ociVersion"))
		return err_new(ERR_INVALID, "runtime spec: no \"ociVersion\"");
	*ret = TAKE(o);
	return NULL;
}

char *spec_to_text(struct json_object *spec, size_t *ret_len)
{
	return xstrdup(json_object_to_json_string_length(
		spec, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, ret_len));
}

void spec_set_args(struct json_object *spec, const struct strv *args)
{
	spec_delete(spec, "process.commandLine");
	json_object_object_add(spec_object(spec, "process"), "args", spec_strings(args));
}

/* The index of the variable `name` (up to its '='), or -1. */
static ssize_t find_env(const struct strv *env, const char *name)
{
	size_t len = strcspn(name, "=");

	for (size_t i = 0; i < env->n; i++) {
		if (strncmp(env->items[i], name, len) == 0 && env->items[i][len] == '=')
			return (ssize_t)i;
	}
	return -1;
}

static void merge_env(struct strv *env, const struct strv *over)
{
	for (size_t i = 0; i < over->n; i++) {
		const char *item = over->items[i];
		ssize_t at = find_env(env, item);

		if (!strchr(item, '=')) {
			if (at >= 0)
				strv_remove_at(env, (size_t)at);
		} else if (at >= 0) {
			free(env->items[at]);
			env->items[at] = xstrdup(item);
		} else {
			strv_add(env, item);
		}
	}
}

static void get_env(struct json_object *spec, struct strv *ret)
{
	struct json_object *array = spec_array(spec, "process.env");

	for (size_t i = 0; i < json_object_array_length(array); i++)
		strv_add(ret,
			str_or(json_object_get_string(json_object_array_get_idx(array, i)), ""));
}

static void put_env(struct json_object *spec, const struct strv *env)
{
	json_object_object_add(spec_object(spec, "process"), "env", spec_strings(env));
}

void spec_add_env(struct json_object *spec, const struct strv *env)
{
	autoval(strv) all = STRV_INIT;

	get_env(spec, &all);
	merge_env(&all, env);
	put_env(spec, &all);
}

void spec_add_default_env(struct json_object *spec, const struct strv *env)
{
	autoval(strv) all = STRV_INIT;
	autoval(strv) own = STRV_INIT;

	strv_add_all(&all, env);
	get_env(spec, &own);
	merge_env(&all, &own);
	put_env(spec, &all);
}

void spec_set_cwd(struct json_object *spec, const char *cwd)
{
	spec_put_string(spec_object(spec, "process"), "cwd", cwd);
}

void spec_set_tty(struct json_object *spec)
{
	autoval(strv) env = STRV_INIT;

	json_object_object_add(
		spec_object(spec, "process"), "terminal", json_object_new_boolean(true));
	strv_add(&env, "TERM=xterm");
	spec_add_env(spec, &env);
}

void spec_set_console_size(struct json_object *spec, unsigned width, unsigned height)
{
	struct json_object *size = spec_object(spec, "process.consoleSize");

	spec_put_int(size, "width", width);
	spec_put_int(size, "height", height);
}

void spec_set_no_new_privileges(struct json_object *spec, bool on)
{
	json_object_object_add(
		spec_object(spec, "process"), "noNewPrivileges", json_object_new_boolean(on));
}

void spec_set_rlimit(struct json_object *spec, const char *type, uint64_t soft, uint64_t hard)
{
	struct json_object *array = spec_array(spec, "process.rlimits");
	struct json_object *limit = json_object_new_object();
	ssize_t at = spec_array_find(array, "type", type);

	spec_put_string(limit, "type", type);
	json_object_object_add(limit, "hard", json_object_new_uint64(hard));
	json_object_object_add(limit, "soft", json_object_new_uint64(soft));
	if (at >= 0)
		json_object_array_put_idx(array, (size_t)at, limit);
	else
		json_object_array_add(array, limit);
}

void spec_set_umask(struct json_object *spec, uint32_t umask)
{
	spec_put_int(spec_object(spec, "process.user"), "umask", umask);
}

void spec_set_apparmor(struct json_object *spec, const char *profile)
{
	spec_put_string(spec_object(spec, "process"), "apparmorProfile", profile);
}

void spec_set_selinux(struct json_object *spec, const char *label)
{
	spec_put_string(spec_object(spec, "process"), "selinuxLabel", label);
}

void spec_set_oom_score_adj(struct json_object *spec, int value)
{
	spec_put_int(spec_object(spec, "process"), "oomScoreAdj", value);
}

void spec_set_rootfs(struct json_object *spec, const char *path)
{
	spec_put_string(spec_object(spec, "root"), "path", path);
}

void spec_set_rootfs_readonly(struct json_object *spec, bool readonly)
{
	json_object_object_add(
		spec_object(spec, "root"), "readonly", json_object_new_boolean(readonly));
}

void spec_set_hostname(struct json_object *spec, const char *name)
{
	spec_put_string(spec, "hostname", name);
}

void spec_set_annotations(struct json_object *spec, const struct strmap *annotations)
{
	struct json_object *o = spec_object(spec, "annotations");

	for (size_t i = 0; i < annotations->n; i++)
		spec_put_string(o, annotations->entries[i].key, annotations->entries[i].value);
}

struct err *spec_apply_image(struct json_object *spec, const struct image_config *config,
	const struct strv *args, const char *passwd, const char *group)
{
	autoval(strv) command = STRV_INIT;
	autoval(strv) path = STRV_INIT;

	strv_add(&path, SPEC_DEFAULT_PATH);
	spec_add_default_env(spec, config->env.n ? &config->env : &path);
	strv_add_all(&command, &config->entrypoint);
	strv_add_all(&command, args && args->n ? args : &config->cmd);
	spec_set_args(spec, &command);
	spec_set_cwd(spec, str_empty(config->working_dir) ? "/" : config->working_dir);
	if (str_empty(config->user))
		return spec_set_groups_of(spec, "root", passwd, group);
	TRY(spec_set_user(spec, config->user, passwd, group));
	return spec_set_groups_of(spec, config->user, passwd, group);
}
