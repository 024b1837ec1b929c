// SPDX-License-Identifier: Apache-2.0
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "oci/spec-internal.h"

/* In the order of their numbers (linux/capability.h). */
static const char *const cap_names[] = {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH",
	"CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
	"CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT",
	"CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
	"CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ",
	"CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"};

static const char *const granted_sets[] = {
	"process.capabilities.bounding",
	"process.capabilities.effective",
	"process.capabilities.permitted",
};

#define INHERITABLE "process.capabilities.inheritable"

static struct err *check_names(const struct strv *caps)
{
	for (size_t i = 0; i < caps->n; i++) {
		bool known = false;

		if (!str_starts(caps->items[i], "CAP_"))
			return err_new(ERR_INVALID,
				"capabilities must be specified with 'CAP_' prefix: %s",
				caps->items[i]);
		for (size_t k = 0; !known && k < ARRAY_LEN(cap_names); k++)
			known = strcmp(caps->items[i], cap_names[k]) == 0;
		if (!known)
			return err_new(ERR_INVALID, "unknown capability %s", caps->items[i]);
	}
	return NULL;
}

static void remove_text(struct json_object *array, const char *text)
{
	for (size_t i = json_object_array_length(array); i-- > 0;) {
		const char *item = json_object_get_string(json_object_array_get_idx(array, i));

		if (item && strcmp(item, text) == 0)
			spec_array_remove(array, i);
	}
}

struct err *spec_add_caps(struct json_object *spec, const struct strv *caps)
{
	TRY(check_names(caps));
	for (size_t s = 0; s < ARRAY_LEN(granted_sets); s++) {
		struct json_object *set = spec_array(spec, granted_sets[s]);

		for (size_t i = 0; i < caps->n; i++) {
			if (!spec_array_has(set, caps->items[i]))
				json_object_array_add(set, json_object_new_string(caps->items[i]));
		}
	}
	return NULL;
}

struct err *spec_drop_caps(struct json_object *spec, const struct strv *caps)
{
	TRY(check_names(caps));
	for (size_t i = 0; i < caps->n; i++) {
		for (size_t s = 0; s < ARRAY_LEN(granted_sets); s++)
			remove_text(spec_array(spec, granted_sets[s]), caps->items[i]);
		if (json_find(spec, INHERITABLE))
			remove_text(spec_array(spec, INHERITABLE), caps->items[i]);
	}
	return NULL;
}

void spec_set_caps(struct json_object *spec, const struct strv *caps)
{
	struct json_object *sets = spec_object(spec, "process.capabilities");
	struct json_object *inheritable = json_find(spec, INHERITABLE);
	static const char *const keys[] = {"bounding", "effective", "permitted"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		json_object_object_add(sets, keys[i], spec_strings(caps));
	for (size_t i = inheritable ? json_object_array_length(inheritable) : 0; i-- > 0;) {
		const char *name =
			json_object_get_string(json_object_array_get_idx(inheritable, i));

		if (!name || !strv_has(caps, name))
			spec_array_remove(inheritable, i);
	}
}

void spec_all_caps(struct json_object *spec)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};
	autoval(strv) caps = STRV_INIT;

	/* Cannot fail for ourselves; if it does, none is the safe answer. */
	if (syscall(SYS_capget, &header, data) < 0)
		memset(data, 0, sizeof(data));
	for (size_t i = 0; i < ARRAY_LEN(cap_names); i++) {
		if (data[i / 32].effective & 1U << i % 32)
			strv_add(&caps, cap_names[i]);
	}
	spec_set_caps(spec, &caps);
}
