// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "oci/spec-internal.h"

#define DEVICE_DEPTH_MAX 16

static const char *const namespace_types[] = {
	"pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"};

static const struct {
	int major, minor; /* a minor of -1 is any */
} default_devices[] = {
	{1, 3},	   /* null */
	{1, 8},	   /* random */
	{1, 7},	   /* full */
	{5, 0},	   /* tty */
	{1, 5},	   /* zero */
	{1, 9},	   /* urandom */
	{5, 1},	   /* console */
	{136, -1}, /* pts */
	{5, 2},	   /* ptmx */
};

struct err *spec_set_namespace(struct json_object *spec, const char *type, const char *path)
{
	struct json_object *array = spec_array(spec, "linux.namespaces");
	struct json_object *ns;
	ssize_t at = spec_array_find(array, "type", type);
	bool known = false;

	for (size_t i = 0; !known && i < ARRAY_LEN(namespace_types); i++)
		known = strcmp(namespace_types[i], type) == 0;
	if (!known)
		return err_new(ERR_INVALID, "the Linux namespace type is not valid: %s", type);
	ns = json_object_new_object();
	spec_put_string(ns, "type", type);
	if (!str_empty(path))
		spec_put_string(ns, "path", path);
	if (at >= 0)
		json_object_array_put_idx(array, (size_t)at, ns);
	else
		json_object_array_add(array, ns);
	return NULL;
}

void spec_remove_namespace(struct json_object *spec, const char *type)
{
	struct json_object *array = spec_array(spec, "linux.namespaces");
	ssize_t at = spec_array_find(array, "type", type);

	if (at >= 0)
		spec_array_remove(array, (size_t)at);
}

void spec_host_network(struct json_object *spec, const char *hostname)
{
	static const char *const files[] = {"/etc/hosts", "/etc/resolv.conf"};
	autoval(strv) options = STRV_INIT;
	autoval(strv) env = STRV_INIT;

	strv_split(&options, "rbind,ro", ',');
	strv_addf(&env, "HOSTNAME=%s", hostname);
	spec_remove_namespace(spec, "network");
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		spec_add_mount(spec, "bind", files[i], files[i], &options);
	spec_add_env(spec, &env);
}

void spec_add_id_mapping(
	struct json_object *spec, bool is_gid, uint32_t container, uint32_t host, uint32_t size)
{
	struct json_object *array =
		spec_array(spec, is_gid ? "linux.gidMappings" : "linux.uidMappings");
	struct json_object *namespaces = spec_array(spec, "linux.namespaces");
	struct json_object *mapping = json_object_new_object();

	if (spec_array_find(namespaces, "type", "user") < 0) {
		struct json_object *ns = json_object_new_object();

		spec_put_string(ns, "type", "user");
		json_object_array_add(namespaces, ns);
	}
	spec_put_int(mapping, "containerID", container);
	spec_put_int(mapping, "hostID", host);
	spec_put_int(mapping, "size", size);
	json_object_array_add(array, mapping);
}

/* "ro" becomes "rw" in the options of every mount of the type. */
static void make_writable(struct json_object *spec, const char *type)
{
	struct json_object *mounts = spec_array(spec, "mounts");

	for (size_t i = 0; i < json_object_array_length(mounts); i++) {
		struct json_object *m = json_object_array_get_idx(mounts, i);
		struct json_object *options = json_find(m, "options");
		const char *is = json_find_string(m, "type");

		if (!is || strcmp(is, type) != 0 || !json_object_is_type(options, json_type_array))
			continue;
		for (size_t k = 0; k < json_object_array_length(options); k++) {
			if (str_eq(json_object_get_string(json_object_array_get_idx(options, k)),
				    "ro"))
				json_object_array_put_idx(options, k, json_object_new_string("rw"));
		}
	}
}

void spec_privileged(struct json_object *spec)
{
	spec_all_caps(spec);
	spec_set_masked_paths(spec, NULL);
	spec_set_readonly_paths(spec, NULL);
	make_writable(spec, "sysfs");
	make_writable(spec, "cgroup");
	spec_delete(spec, "process.selinuxLabel");
	spec_delete(spec, "process.apparmorProfile");
	spec_delete(spec, "linux.seccomp");
}

static void set_paths(struct json_object *spec, const char *key, const struct strv *paths)
{
	struct json_object *o = spec_object(spec, "linux");

	json_object_object_del(o, key);
	if (paths)
		json_object_object_add(o, key, spec_strings(paths));
}

void spec_set_masked_paths(struct json_object *spec, const struct strv *paths)
{
	set_paths(spec, "maskedPaths", paths);
}

void spec_set_readonly_paths(struct json_object *spec, const struct strv *paths)
{
	set_paths(spec, "readonlyPaths", paths);
}

void spec_set_cgroup(struct json_object *spec, const char *path)
{
	spec_put_string(spec_object(spec, "linux"), "cgroupsPath", path);
}

void spec_set_rootfs_propagation(struct json_object *spec, const char *propagation)
{
	spec_put_string(spec_object(spec, "linux"), "rootfsPropagation", propagation);
}

/* A rule for the devices cgroup; type NULL is all, a number of -1 is any. */
static struct json_object *device_rule(
	const char *type, int64_t major, int64_t minor, const char *access)
{
	struct json_object *rule = json_object_new_object();

	json_object_object_add(rule, "allow", json_object_new_boolean(true));
	if (type)
		spec_put_string(rule, "type", type);
	if (major >= 0)
		spec_put_int(rule, "major", major);
	if (minor >= 0)
		spec_put_int(rule, "minor", minor);
	spec_put_string(rule, "access", access);
	return rule;
}

void spec_allow_default_devices(struct json_object *spec)
{
	struct json_object *rules = spec_array(spec, "linux.resources.devices");

	for (size_t i = 0; i < ARRAY_LEN(default_devices); i++)
		json_object_array_add(rules, device_rule("c", default_devices[i].major,
						     default_devices[i].minor, "rwm"));
}

void spec_allow_all_devices(struct json_object *spec)
{
	spec_delete(spec, "linux.resources.devices");
	json_object_array_add(
		spec_array(spec, "linux.resources.devices"), device_rule(NULL, -1, -1, "rwm"));
}

static const char *device_type(mode_t mode)
{
	if (S_ISBLK(mode))
		return "b";
	return S_ISCHR(mode) ? "c" : NULL;
}

/* One device node; access NULL adds no rule for it. */
static void add_node(
	struct json_object *spec, const struct stat *st, const char *path, const char *access)
{
	struct json_object *device = json_object_new_object();
	const char *type = device_type(st->st_mode);
	unsigned maj = major(st->st_rdev), min = minor(st->st_rdev);

	spec_put_string(device, "path", path);
	spec_put_string(device, "type", type);
	spec_put_int(device, "major", maj);
	spec_put_int(device, "minor", min);
	spec_put_int(device, "fileMode", st->st_mode & 07777);
	spec_put_int(device, "uid", st->st_uid);
	spec_put_int(device, "gid", st->st_gid);
	json_object_array_add(spec_array(spec, "linux.devices"), device);
	if (access)
		json_object_array_add(spec_array(spec, "linux.resources.devices"),
			device_rule(type, maj, min, access));
}

static bool is_skipped(const char *name)
{
	static const char *const names[] = {
		".", "..", "pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

static struct err *add_tree(struct json_object *spec, const char *host, const char *path,
	const char *access, unsigned depth)
{
	DIR *dir = opendir(host);
	struct err *e = NULL;
	struct dirent *d;

	if (!dir)
		return err_sys(errno, "device directory %s", host);
	while (!e && (d = readdir(dir))) {
		autofree char *from = path_join(host, d->d_name);
		autofree char *to = path_join(path, d->d_name);
		struct stat st;

		/* Nodes come and go below /dev. */
		if (is_skipped(d->d_name) || lstat(from, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode) && depth)
			e = add_tree(spec, from, to, access, depth - 1);
		else if (device_type(st.st_mode))
			add_node(spec, &st, to, access);
	}
	closedir(dir);
	return e;
}

struct err *spec_add_device(
	struct json_object *spec, const char *host_path, const char *path, const char *access)
{
	const char *to = str_empty(path) ? host_path : path;
	struct stat st;

	if (stat(host_path, &st) < 0)
		return err_sys(errno, "device %s", host_path);
	if (S_ISDIR(st.st_mode))
		return add_tree(spec, host_path, to, access, DEVICE_DEPTH_MAX);
	if (!device_type(st.st_mode))
		return err_new(ERR_INVALID, "device %s: not a device node", host_path);
	add_node(spec, &st, to, access);
	return NULL;
}

struct err *spec_add_host_devices(struct json_object *spec)
{
	return add_tree(spec, "/dev", "/dev", NULL, DEVICE_DEPTH_MAX);
}

static void put_uint(struct json_object *spec, const char *path, const char *key, uint64_t value)
{
	json_object_object_add(spec_object(spec, path), key, json_object_new_uint64(value));
}

void spec_set_memory_limit(struct json_object *spec, uint64_t bytes)
{
	put_uint(spec, "linux.resources.memory", "limit", bytes);
}

void spec_set_cpu_quota(struct json_object *spec, int64_t quota_us, uint64_t period_us)
{
	struct json_object *cpu = spec_object(spec, "linux.resources.cpu");

	spec_put_int(cpu, "quota", quota_us);
	put_uint(spec, "linux.resources.cpu", "period", period_us);
}

void spec_set_cpu_shares(struct json_object *spec, uint64_t shares)
{
	put_uint(spec, "linux.resources.cpu", "shares", shares);
}

void spec_set_cpu_burst(struct json_object *spec, uint64_t burst_us)
{
	put_uint(spec, "linux.resources.cpu", "burst", burst_us);
}

void spec_set_cpuset(struct json_object *spec, const char *cpus, const char *mems)
{
	struct json_object *cpu = spec_object(spec, "linux.resources.cpu");

	if (cpus)
		spec_put_string(cpu, "cpus", cpus);
	if (mems)
		spec_put_string(cpu, "mems", mems);
}

void spec_set_pids_limit(struct json_object *spec, int64_t limit)
{
	spec_put_int(spec_object(spec, "linux.resources.pids"), "limit", limit);
}

struct err *spec_set_seccomp(struct json_object *spec, const char *text, size_t len)
{
	autoptr(json_object) profile = NULL;

	if (len > SPEC_MAX_BYTES)
		return err_new(ERR_INVALID, "seccomp profile: %zu bytes, more than %zu", len,
			SPEC_MAX_BYTES);
	TRY(err_wrap(json_parse(text, len, &profile), "seccomp profile"));
	if (!json_find_string(profile, "defaultAction"))
		return err_new(ERR_INVALID, "seccomp profile: no \"defaultAction\"");
	json_object_object_add(spec_object(spec, "linux"), "seccomp", TAKE(profile));
	return NULL;
}
