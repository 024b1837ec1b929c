// SPDX-License-Identifier: Apache-2.0
/* Parts separated by NUL: a user, passwd, group, a mount text, mount options, a spec. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "oci/spec.h"
#include "sys/mount-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *next(const char **at, const char *end)
{
	const char *part = *at;

	*at = MIN(part + strlen(part) + 1, end);
	return part;
}

static void try_options(const char *text)
{
	autoval(mounts) m = MOUNTS_INIT;
	autoval(mount_plan) plan = {0};
	autoval(strv) dirs = STRV_INIT;
	autoval(strv) data = STRV_INIT;

	strv_add(&mounts_add(&m, "overlay", "", "")->options, text);
	err_free(mount_plan_parse(&m.items[0], &plan));
	mount_split_lowerdirs(text, &dirs, &data);
}

static void edit(struct json_object *spec)
{
	autoval(strv) names = STRV_INIT;
	autofree char *text = NULL;
	size_t len;

	strv_add(&names, "CAP_CHOWN");
	spec_add_env(spec, &names);
	err_free(spec_add_caps(spec, &names));
	err_free(spec_drop_caps(spec, &names));
	spec_set_caps(spec, &names);
	spec_privileged(spec);
	spec_host_network(spec, "host");
	spec_remove_mounts(spec, "/proc");
	spec_set_rlimit(spec, "RLIMIT_NOFILE", 1, 2);
	err_free(spec_set_namespace(spec, "pid", ""));
	spec_set_uid_gid(spec, 1, 2);
	spec_set_seccomp_default(spec);
	text = spec_to_text(spec, &len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *copy = xmalloc(size + 1);
	const char *at, *end, *user, *passwd, *group, *mount;
	autoptr(json_object) spec = spec_new("ns", "id");
	autoptr(json_object) foreign = NULL;

	memcpy(copy, data, size);
	copy[size] = '\0';
	at = copy;
	end = copy + size;
	user = next(&at, end);
	passwd = next(&at, end);
	group = next(&at, end);
	mount = next(&at, end);
	err_free(spec_set_user(spec, user, passwd, group));
	err_free(spec_set_groups_of(spec, user, passwd, group));
	err_free(spec_add_mount_text(spec, mount));
	try_options(next(&at, end));
	err_free(spec_parse(at, (size_t)(end - at), &foreign));
	if (foreign)
		edit(foreign);
	return 0;
}
