// SPDX-License-Identifier: Apache-2.0
/* From the options of a new container to its runtime spec, in the order that the stock client
 * applies them: defaults, image config, then what the user asked for. */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "client/containers-internal.h"
#include "oci/spec.h"

#define SECCOMP_MAX ((size_t)4 << 20)

static void strv_from(struct strv *to, struct ctd_strings from)
{
	for (size_t i = 0; i < from.n; i++)
		strv_add(to, from.items[i]);
}

static struct err *apply_image(struct json_object *spec, const struct image_config *config,
	const struct account_files *accounts)
{
	autoval(strv) args = STRV_INIT, path = STRV_INIT;

	strv_add(&path, SPEC_DEFAULT_PATH);
	spec_add_default_env(spec, config->env.n > 0 ? &config->env : &path);
	strv_add_all(&args, &config->entrypoint);
	strv_add_all(&args, &config->cmd);
	spec_set_args(spec, &args);
	spec_set_cwd(spec, str_empty(config->working_dir) ? "/" : config->working_dir);
	if (str_empty(config->user))
		return spec_set_groups_of(spec, "root", accounts->passwd, accounts->group);
	TRY(spec_set_user(spec, config->user, accounts->passwd, accounts->group));
	return spec_set_groups_of(spec, config->user, accounts->passwd, accounts->group);
}

static struct err *apply_process(struct json_object *spec, const struct ctd_spec_options *o,
	const struct account_files *accounts)
{
	if (o->args.n > 0) {
		autoval(strv) args = STRV_INIT;

		strv_from(&args, o->args);
		spec_set_args(spec, &args);
	}
	if (!str_empty(o->cwd))
		spec_set_cwd(spec, o->cwd);
	if (!str_empty(o->user)) {
		TRY(spec_set_user(spec, o->user, accounts->passwd, accounts->group));
		TRY(spec_set_groups_of(spec, o->user, accounts->passwd, accounts->group));
	}
	if (o->tty)
		spec_set_tty(spec);
	if (o->new_privileges)
		spec_set_no_new_privileges(spec, false);
	if (o->has_nofile)
		spec_set_rlimit(spec, "RLIMIT_NOFILE", o->nofile_soft, o->nofile_hard);
	if (!str_empty(o->apparmor_profile))
		spec_set_apparmor(spec, o->apparmor_profile);
	return NULL;
}

static struct err *apply_privileges(struct json_object *spec, const struct ctd_spec_options *o)
{
	autoval(strv) add = STRV_INIT, drop = STRV_INIT;

	if (o->privileged) {
		spec_privileged(spec);
		if (!o->without_host_devices) {
			spec_allow_all_devices(spec);
			TRY(spec_add_host_devices(spec));
		}
	}
	if (o->net_host) {
		char host[256] = "";

		if (gethostname(host, sizeof(host) - 1) < 0)
			return err_sys(errno, "get hostname");
		spec_host_network(spec, host);
	}
	strv_from(&add, o->cap_add);
	strv_from(&drop, o->cap_drop);
	if (add.n > 0)
		TRY(spec_add_caps(spec, &add));
	if (drop.n > 0)
		TRY(spec_drop_caps(spec, &drop));
	return NULL;
}

static struct err *apply_seccomp(struct json_object *spec, const struct ctd_spec_options *o)
{
	autofree char *text = NULL;
	size_t len;

	if (!o->seccomp)
		return NULL;
	if (str_empty(o->seccomp_profile)) {
		spec_set_seccomp_default(spec);
		return NULL;
	}
	TRY(err_wrap(file_read(o->seccomp_profile, SECCOMP_MAX, &text, &len),
		"cannot load seccomp profile \"%s\"", o->seccomp_profile));
	return err_wrap(
		spec_set_seccomp(spec, text, len), "seccomp profile %s", o->seccomp_profile);
}

static void set_rdt_class(struct json_object *spec, const char *class)
{
	struct json_object *rdt = json_object_new_object();

	json_object_object_add(rdt, "closID", json_object_new_string(class));
	json_object_object_add(json_find(spec, "linux"), "intelRdt", rdt);
}

static struct err *apply_resources(struct json_object *spec, const struct ctd_spec_options *o)
{
	if (o->cpu_shares > 0)
		spec_set_cpu_shares(spec, o->cpu_shares);
	if (o->has_cpu_quota || o->cpu_period > 0)
		spec_set_cpu_quota(spec, o->has_cpu_quota ? o->cpu_quota : -1, o->cpu_period);
	if (!str_empty(o->cpuset_cpus) || !str_empty(o->cpuset_mems))
		spec_set_cpuset(spec, o->cpuset_cpus, o->cpuset_mems);
	if (o->memory_limit > 0)
		spec_set_memory_limit(spec, o->memory_limit);
	if (o->has_cgroup)
		spec_set_cgroup(spec, str_or(o->cgroup, ""));
	for (size_t i = 0; i < o->devices.n; i++)
		TRY(spec_add_device(spec, o->devices.items[i], "", "rwm"));
	if (!str_empty(o->rdt_class))
		set_rdt_class(spec, o->rdt_class);
	return NULL;
}

static struct err *apply_isolation(struct json_object *spec, const struct ctd_spec_options *o)
{
	for (size_t i = 0; i < o->n_mounts; i++) {
		const struct ctd_spec_mount *m = &o->mounts[i];
		autoval(strv) options = STRV_INIT;

		strv_from(&options, m->options);
		spec_add_mount(spec, m->type, m->source, m->destination, &options);
	}
	for (size_t i = 0; i < o->n_joins; i++)
		TRY(spec_set_namespace(spec, o->joins[i].type, o->joins[i].path));
	if (o->n_uid_maps + o->n_gid_maps > 0)
		TRY(spec_set_namespace(spec, "user", ""));
	for (size_t i = 0; i < o->n_uid_maps; i++)
		spec_add_id_mapping(spec, false, o->uid_maps[i].container_id,
			o->uid_maps[i].host_id, o->uid_maps[i].length);
	for (size_t i = 0; i < o->n_gid_maps; i++)
		spec_add_id_mapping(spec, true, o->gid_maps[i].container_id, o->gid_maps[i].host_id,
			o->gid_maps[i].length);
	if (!str_empty(o->rootfs_propagation))
		spec_set_rootfs_propagation(spec, o->rootfs_propagation);
	if (!str_empty(o->hostname))
		spec_set_hostname(spec, o->hostname);
	if (o->read_only)
		spec_set_rootfs_readonly(spec, true);
	return NULL;
}

/* Labels become annotations too, as with the stock client. */
static void apply_annotations(struct json_object *spec, const struct ctd_container_options *options)
{
	autoval(strmap) annotations = STRMAP_INIT;
	const struct ctd_labels *all[] = {&options->spec.annotations, &options->labels};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		for (size_t j = 0; j < all[i]->n; j++)
			strmap_set(&annotations, all[i]->items[j].key, all[i]->items[j].value);
	}
	if (annotations.n > 0)
		spec_set_annotations(spec, &annotations);
}

static struct err *spec_from_file(const char *path, struct json_object **ret)
{
	autofree char *text = NULL;
	size_t len;

	TRY(err_wrap(file_read(path, SPEC_MAX_BYTES, &text, &len), "cannot load spec config file"));
	return err_wrap(spec_parse(text, len, ret), "spec config file %s", path);
}

struct err *spec_for(const struct ctd_container_options *options, const char *ns,
	const struct image_config *config, const struct account_files *accounts,
	struct json_object **ret)
{
	static const struct account_files none = {0};
	const struct ctd_spec_options *o = &options->spec;
	autoptr(json_object) spec = NULL;
	autoval(strv) env = STRV_INIT;

	accounts = accounts ? accounts : &none;
	if (!str_empty(options->spec_file)) {
		TRY(spec_from_file(options->spec_file, &spec));
		apply_annotations(spec, options);
		*ret = TAKE(spec);
		return NULL;
	}
	spec = spec_new(ns, options->id);
	spec_allow_default_devices(spec);
	strv_from(&env, o->env);
	spec_add_env(spec, &env);
	if (!str_empty(options->rootfs))
		spec_set_rootfs(spec, options->rootfs);
	if (config)
		TRY(apply_image(spec, config, accounts));
	TRY(apply_process(spec, o, accounts));
	TRY(apply_isolation(spec, o));
	TRY(apply_privileges(spec, o));
	TRY(apply_seccomp(spec, o));
	TRY(apply_resources(spec, o));
	apply_annotations(spec, options);
	*ret = TAKE(spec);
	return NULL;
}

struct err *ctd_default_spec(const char **ret)
{
	struct arena *arena = arena_new();
	autoptr(json_object) spec = spec_new("default", "");
	size_t len;
	autofree char *text = spec_to_text(spec, &len);
	char *record = record_new(arena, len + 1);

	memcpy(record, text, len + 1);
	*ret = record;
	return NULL;
}
