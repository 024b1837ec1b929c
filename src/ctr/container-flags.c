// SPDX-License-Identifier: Apache-2.0
#include "ctr/container-flags.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"

#define RUNC "io.containerd.runc.v2"
#define CPU_PERIOD_US 100000
#define ENV_FILE_MAX ((size_t)1 << 20)

const struct flag container_flags[] = {
	{"config, c", "file with the whole runtime spec, instead of image and flags", FLAG_STRING},
	{"cwd", "working directory of the process", FLAG_STRING},
	{"env", "environment variable, NAME=value (NAME alone removes it)", FLAG_LIST},
	{"env-file", "file of environment variables, one on a line", FLAG_STRING},
	{"label", "label of the container, such as foo=bar", FLAG_LIST},
	{"annotation", "annotation of the runtime spec, such as foo=bar", FLAG_LIST},
	{"mount", "mount, such as type=bind,src=/tmp,dst=/host,options=rbind:ro", FLAG_LIST},
	{"net-host", "use the network of the host", FLAG_BOOL},
	{"privileged", "allow everything, as far as a container can", FLAG_BOOL},
	{"read-only", "make the root file system read-only", FLAG_BOOL},
	{"sandbox", "sandbox to create the container in", FLAG_STRING},
	{"tty, t", "give the process a terminal", FLAG_BOOL},
	{"with-ns", "existing namespace to join, as <type>:<path>", FLAG_LIST},
	{"pid-file", "file to write the process's pid to", FLAG_STRING},
	{"allow-new-privs", "let the process gain privileges, by setuid programs for one",
		FLAG_BOOL},
	{"memory-limit", "most bytes of memory", FLAG_UINT},
	{"device", "device of the host, or directory of devices", FLAG_LIST},
	{"cap-add", "capability to add, with its CAP_ prefix", FLAG_LIST},
	{"cap-drop", "capability to take away, with its CAP_ prefix", FLAG_LIST},
	{"seccomp", "filter system calls by the default profile", FLAG_BOOL},
	{"seccomp-profile", "filter system calls by the profile in this file; needs --seccomp",
		FLAG_STRING},
	{"apparmor-profile", "AppArmor profile, which must be loaded", FLAG_STRING},
	{"rdt-class", "class of service for cache and memory bandwidth", FLAG_STRING},
	{"hostname", "host name of the container", FLAG_STRING},
	{"user, u", "user of the process, as name, uid, or either with :group", FLAG_STRING},
	{"rootfs", "the first argument is a directory, not an image", FLAG_BOOL},
	{"no-pivot", "do not use pivot_root(2)", FLAG_BOOL},
	{"cpu-quota", "CPU time in each period, in microseconds", FLAG_INT, "-1"},
	{"cpu-period", "length of such a period, in microseconds", FLAG_UINT},
	{"rootfs-propagation", "propagation of mounts below the root", FLAG_STRING},
	FLAGS_END,
};

const struct flag runtime_flags[] = {
	{"runtime", "name of the runtime", FLAG_STRING, RUNC},
	{"runtime-config-path", "configuration file for runtimes that have one", FLAG_STRING},
	{"runc-binary", "program that speaks runc's command line", FLAG_STRING},
	{"runc-root", "where it keeps its state", FLAG_STRING},
	{"runc-systemd-cgroup", "let it make cgroups through systemd", FLAG_BOOL},
	FLAGS_END,
};

const struct flag snapshot_label_flags[] = {
	{"snapshotter-label", "label of the new snapshot", FLAG_LIST},
	FLAGS_END,
};

const struct flag run_container_flags[] = {
	{"cgroup", "cgroup path, \"\" for none", FLAG_STRING},
	{"platform", "platform of the image", FLAG_STRING},
	{"uidmap", "map of user ids for a user namespace", FLAG_LIST,
		.placeholder = "container-uid:host-uid:length"},
	{"gidmap", "map of group ids for a user namespace", FLAG_LIST,
		.placeholder = "container-gid:host-gid:length"},
	{"remap-labels", "ask the snapshotter to shift the owners of files", FLAG_BOOL},
	{"privileged-without-host-devices", "with --privileged: without the host's devices",
		FLAG_BOOL},
	{"cpus", "number of CPUs' worth of time", FLAG_FLOAT},
	{"cpu-shares", "weight against other containers", FLAG_INT, "1024"},
	{"cpuset-cpus", "CPUs to run on, such as 0-2,5", FLAG_STRING},
	{"cpuset-mems", "memory nodes to use", FLAG_STRING},
	{"rlimit-nofile", "most open files, as soft or soft:hard", FLAG_STRING},
	FLAGS_END,
};

void container_spec_done(struct container_spec *s)
{
	label_args_done(&s->labels);
	label_args_done(&s->snapshot_labels);
	label_args_done(&s->annotations);
	strv_done(&s->env);
	for (size_t i = 0; i < s->n_mounts; i++)
		strv_done(&s->mount_parts[i]);
	free(s->mount_parts);
	free(s->mounts);
	free(s->joins);
	strv_done(&s->join_types);
	free(s->uid_maps);
	free(s->gid_maps);
	free(s->rootfs);
}

static struct ctd_strings strings_of(const struct strv *v)
{
	return (struct ctd_strings){.n = v->n, .items = (const char *const *)v->items};
}

/* --- single values --- */

/* One field of a line of CSV: quotes may enclose commas, two of them mean one. */
static const char *next_field(const char *p, char **ret)
{
	char *out = *ret = xmalloc(strlen(p) + 1);
	bool quoted = false;

	for (; *p && (quoted || *p != ','); p++) {
		if (*p == '"' && quoted && p[1] == '"')
			*out++ = *p++;
		else if (*p == '"')
			quoted = !quoted;
		else
			*out++ = *p;
	}
	*out = '\0';
	return *p ? p + 1 : p;
}

static struct err *set_mount_option(
	struct ctd_spec_mount *m, struct strv *parts, const char *key, const char *value)
{
	size_t at = parts->n;

	if (strcmp(key, "options") == 0) {
		strv_split(parts, value, ':');
		m->options.n = parts->n - at;
		return NULL;
	}
	strv_add(parts, value);
	value = parts->items[at];
	if (strcmp(key, "type") == 0)
		m->type = value;
	else if (strcmp(key, "source") == 0 || strcmp(key, "src") == 0)
		m->source = value;
	else if (strcmp(key, "destination") == 0 || strcmp(key, "dst") == 0)
		m->destination = value;
	else
		return err_new(ERR_INVALID, "mount option \"%s\" not supported", key);
	return NULL;
}

struct err *mount_parse(const char *text, struct strv *parts, struct ctd_spec_mount *ret)
{
	size_t options_at = 0;
	const char *p = text;

	*ret = (struct ctd_spec_mount){.type = "", .source = "", .destination = ""};
	do {
		autofree char *field = NULL;

		p = next_field(p, &field);
		char *equals = strchr(field, '=');
		if (!equals)
			return err_new(ERR_INVALID,
				"invalid mount specification: expected key=val in \"%s\"", text);
		*equals = '\0';
		if (strcmp(field, "options") == 0)
			options_at = parts->n;
		TRY(set_mount_option(ret, parts, field, equals + 1));
	} while (*p);
	if (!*ret->destination)
		return err_new(
			ERR_INVALID, "invalid mount specification: no destination in \"%s\"", text);
	/* The list does not move any more. */
	ret->options.items = (const char *const *)parts->items + options_at;
	return NULL;
}

static struct err *parse_u32(const char *text, size_t len, const char *what, uint32_t *ret)
{
	autofree char *number = xstrndup(text, len);
	char *end;

	errno = 0;
	unsigned long long n = strtoull(number, &end, 0);
	if (!*number || *end || errno || n > UINT32_MAX || strpbrk(number, "-+ "))
		return err_new(ERR_INVALID, "invalid %s for user namespace remapping: \"%s\"", what,
			number);
	*ret = (uint32_t)n;
	return NULL;
}

struct err *id_map_of_flag(const char *text, struct ctd_id_map *ret)
{
	const char *host = strchr(text, ':');
	const char *length = host ? strchr(host + 1, ':') : NULL;

	if (!length || strchr(length + 1, ':'))
		return err_new(ERR_INVALID, "user namespace mappings require the format "
					    "`container-id:host-id:size`");
	TRY(parse_u32(text, (size_t)(host - text), "container id", &ret->container_id));
	TRY(parse_u32(host + 1, (size_t)(length - host - 1), "host id", &ret->host_id));
	return parse_u32(length + 1, strlen(length + 1), "size", &ret->length);
}

static struct err *parse_u64(const char *flag, const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	if (*end || errno || *text < '0' || *text > '9')
		return err_new(ERR_INVALID, "failed to parse %s \"%s\"", flag, text);
	return NULL;
}

/* --- groups of flags --- */

static struct err *read_env(struct invocation *in, struct container_spec *s)
{
	const char *path = flag_string(in, "env-file");
	autofree char *text = NULL;
	autoval(strv) lines = STRV_INIT;
	size_t len;

	if (*path) {
		TRY(err_wrap(file_read(path, ENV_FILE_MAX, &text, &len), "env-file"));
		strv_split(&lines, text, '\n');
	}
	for (size_t i = 0; i < lines.n; i++) {
		const char *line = lines.items[i] + strspn(lines.items[i], " \t");

		if (*line && *line != '#')
			strv_add(&s->env, line);
	}
	strv_add_all(&s->env, flag_list(in, "env"));
	s->options.spec.env = strings_of(&s->env);
	return NULL;
}

static struct err *read_mounts(struct invocation *in, struct container_spec *s)
{
	const struct strv *texts = flag_list(in, "mount");

	s->mounts = xcalloc(texts->n + 1, sizeof(*s->mounts));
	s->mount_parts = xcalloc(texts->n + 1, sizeof(*s->mount_parts));
	s->n_mounts = texts->n;
	for (size_t i = 0; i < texts->n; i++)
		TRY(mount_parse(texts->items[i], &s->mount_parts[i], &s->mounts[i]));
	s->options.spec.n_mounts = texts->n;
	s->options.spec.mounts = s->mounts;
	return NULL;
}

static struct err *read_joins(struct invocation *in, struct container_spec *s)
{
	const struct strv *texts = flag_list(in, "with-ns");

	s->joins = xcalloc(texts->n + 1, sizeof(*s->joins));
	for (size_t i = 0; i < texts->n; i++) {
		const char *colon = strchr(texts->items[i], ':');

		if (!colon)
			return err_new(ERR_INVALID, "joining a Linux namespace using --with-ns "
						    "requires the format 'nstype:path'");
		strv_add_take(&s->join_types,
			xstrndup(texts->items[i], (size_t)(colon - texts->items[i])));
		s->joins[i] = (struct ctd_namespace_join){
			.type = s->join_types.items[i], .path = colon + 1};
	}
	s->options.spec.n_joins = texts->n;
	s->options.spec.joins = s->joins;
	return NULL;
}

static struct err *read_id_maps(const struct strv *texts, struct ctd_id_map **maps, size_t *n)
{
	*maps = xcalloc(texts->n + 1, sizeof(**maps));
	for (size_t i = 0; i < texts->n; i++)
		TRY(id_map_of_flag(texts->items[i], &(*maps)[i]));
	*n = texts->n;
	return NULL;
}

static struct err *read_privileges(struct invocation *in, struct ctd_spec_options *o)
{
	o->privileged = flag_bool(in, "privileged");
	o->without_host_devices = flag_bool(in, "privileged-without-host-devices");
	o->new_privileges = flag_bool(in, "allow-new-privs");
	o->cap_add = strings_of(flag_list(in, "cap-add"));
	o->cap_drop = strings_of(flag_list(in, "cap-drop"));
	o->seccomp = flag_bool(in, "seccomp");
	o->seccomp_profile = flag_string(in, "seccomp-profile");
	o->apparmor_profile = flag_string(in, "apparmor-profile");
	o->devices = strings_of(flag_list(in, "device"));
	if (o->without_host_devices && !o->privileged)
		return err_new(ERR_INVALID, "can't use 'privileged-without-host-devices' without "
					    "'privileged' specified");
	if (!o->seccomp && *o->seccomp_profile)
		return err_new(ERR_INVALID,
			"seccomp must be set to true, if using a custom seccomp-profile");
	for (size_t i = 0; i < o->cap_add.n + o->cap_drop.n; i++) {
		const char *name = i < o->cap_add.n ? o->cap_add.items[i]
						    : o->cap_drop.items[i - o->cap_add.n];

		if (!str_starts(name, "CAP_"))
			return err_new(
				ERR_INVALID, "capabilities must be specified with 'CAP_' prefix");
	}
	return NULL;
}

static struct err *read_resources(struct invocation *in, struct ctd_spec_options *o)
{
	double cpus = flag_float(in, "cpus");
	const char *nofile = flag_string(in, "rlimit-nofile");

	o->memory_limit = flag_uint(in, "memory-limit");
	o->cpu_shares = flag_int(in, "cpu-shares") > 0 ? (uint64_t)flag_int(in, "cpu-shares") : 0;
	o->cpu_period = flag_uint(in, "cpu-period");
	o->cpu_quota = flag_int(in, "cpu-quota");
	o->has_cpu_quota = o->cpu_quota != -1;
	o->cpuset_cpus = or_null(flag_string(in, "cpuset-cpus"));
	o->cpuset_mems = or_null(flag_string(in, "cpuset-mems"));
	o->rdt_class = flag_string(in, "rdt-class");
	if (cpus > 0 && (o->has_cpu_quota || o->cpu_period > 0))
		return err_new(ERR_INVALID, "cpus and quota/period should be used separately");
	if (cpus > 0) {
		o->cpu_period = CPU_PERIOD_US;
		o->cpu_quota = (int64_t)(cpus * CPU_PERIOD_US);
		o->has_cpu_quota = true;
	}
	if (*nofile) {
		const char *colon = strchrnul(nofile, ':');
		autofree char *soft = xstrndup(nofile, (size_t)(colon - nofile));

		TRY(parse_u64("rlimit-nofile", soft, &o->nofile_soft));
		TRY(parse_u64("rlimit-nofile", *colon ? colon + 1 : soft, &o->nofile_hard));
		o->has_nofile = true;
	}
	return NULL;
}

static struct err *read_spec(struct invocation *in, struct container_spec *s)
{
	struct ctd_spec_options *o = &s->options.spec;
	const struct strv *annotations = flag_list(in, "annotation");

	o->cwd = flag_string(in, "cwd");
	o->user = flag_string(in, "user");
	o->hostname = flag_string(in, "hostname");
	o->tty = flag_bool(in, "tty");
	o->read_only = flag_bool(in, "read-only");
	o->net_host = flag_bool(in, "net-host");
	o->rootfs_propagation = flag_string(in, "rootfs-propagation");
	o->has_cgroup = flag_is_set(in, "cgroup");
	o->cgroup = flag_string(in, "cgroup");
	for (size_t i = 0; i < annotations->n; i++) {
		if (!strchr(annotations->items[i], '='))
			return err_new(ERR_INVALID, "invalid key=value format annotation: %s",
				annotations->items[i]);
	}
	o->annotations = label_args_read(&s->annotations, annotations->items, "");
	TRY(read_env(in, s));
	TRY(read_mounts(in, s));
	TRY(read_joins(in, s));
	TRY(read_id_maps(flag_list(in, "uidmap"), &s->uid_maps, &o->n_uid_maps));
	TRY(read_id_maps(flag_list(in, "gidmap"), &s->gid_maps, &o->n_gid_maps));
	o->uid_maps = s->uid_maps;
	o->gid_maps = s->gid_maps;
	TRY(read_privileges(in, o));
	return read_resources(in, o);
}

static struct err *read_runtime(struct invocation *in, struct ctd_container_options *o)
{
	o->runtime = flag_string(in, "runtime");
	o->runtime_config_path = flag_string(in, "runtime-config-path");
	o->runc_binary = flag_string(in, "runc-binary");
	o->runc_root = flag_string(in, "runc-root");
	o->runc_systemd_cgroup = flag_bool(in, "runc-systemd-cgroup");
	if ((*o->runc_binary || o->runc_systemd_cgroup) && strcmp(o->runtime, RUNC) != 0)
		return err_new(ERR_INVALID, "specifying runc-binary and runc-systemd-cgroup is "
					    "only supported for \"" RUNC "\" runtime");
	if (o->runc_systemd_cgroup && !*flag_string(in, "cgroup"))
		return err_new(ERR_INVALID, "option --runc-systemd-cgroup requires --cgroup to be "
					    "set, e.g. \"machine.slice:foo:deadbeef\"");
	return NULL;
}

/* "IMAGE ID [COMMAND...]", or "ID" with a spec file. */
static struct err *read_arguments(struct invocation *in, struct container_spec *s)
{
	struct ctd_container_options *o = &s->options;

	if (flag_is_set(in, "config")) {
		if (arg_count(in) > 1)
			return err_new(ERR_INVALID,
				"with spec config file, only container id should be provided");
		o->spec_file = flag_string(in, "config");
		o->id = arg(in, 0);
	} else {
		size_t n = arg_count(in) > 2 ? arg_count(in) - 2 : 0;

		if (!*arg(in, 0))
			return err_new(ERR_INVALID, "image ref must be provided");
		o->id = arg(in, 1);
		o->spec.args = (struct ctd_strings){.n = n, .items = names_from(in, 2)};
		if (flag_bool(in, "rootfs")) {
			s->rootfs = realpath(arg(in, 0), NULL);
			if (!s->rootfs)
				return err_sys(errno, "rootfs %s", arg(in, 0));
			o->rootfs = s->rootfs;
		} else {
			o->image = arg(in, 0);
		}
	}
	return *o->id ? NULL : err_new(ERR_INVALID, "container id must be provided");
}

struct err *container_spec_read(struct invocation *in, struct container_spec *s)
{
	struct ctd_container_options *o = &s->options;

	*o = CTD_CONTAINER_INIT;
	TRY(read_arguments(in, s));
	o->platform = flag_string(in, "platform");
	o->snapshotter = flag_string(in, "snapshotter");
	o->sandbox = flag_string(in, "sandbox");
	o->remap_labels = flag_bool(in, "remap-labels");
	o->labels = label_args_read(&s->labels, flag_list(in, "label")->items, "true");
	o->snapshot_labels = label_args_read(
		&s->snapshot_labels, flag_list(in, "snapshotter-label")->items, "true");
	TRY(read_runtime(in, o));
	return read_spec(in, s);
}
