// SPDX-License-Identifier: Apache-2.0
#include "shim/flags.h"

#include <stddef.h>
#include <string.h>

#include "base/strv.h"

enum kind { KIND_TEXT, KIND_SWITCH };

static const struct flag {
	const char *name;
	enum kind kind;
	size_t offset;
} known[] = {
	{"namespace", KIND_TEXT, offsetof(struct flags, ns)},
	{"id", KIND_TEXT, offsetof(struct flags, id)},
	{"address", KIND_TEXT, offsetof(struct flags, address)},
	{"publish-binary", KIND_TEXT, offsetof(struct flags, publish_binary)},
	{"bundle", KIND_TEXT, offsetof(struct flags, bundle)},
	{"socket", KIND_TEXT, offsetof(struct flags, socket)},
	{"debug-socket", KIND_TEXT, offsetof(struct flags, debug_socket)},
	{"debug", KIND_SWITCH, offsetof(struct flags, debug)},
	{"v", KIND_SWITCH, offsetof(struct flags, version)},
	{"version", KIND_SWITCH, offsetof(struct flags, version)},
	{"info", KIND_SWITCH, offsetof(struct flags, info)},
};

static const struct flag *find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strlen(known[i].name) == len && !strncmp(known[i].name, name, len))
			return &known[i];
	return NULL;
}

/* What strconv.ParseBool takes. */
static bool parse_bool(const char *text, bool *ret)
{
	static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
	static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (str_eq(text, yes[i]) || str_eq(text, no[i])) {
			*ret = str_eq(text, yes[i]);
			return true;
		}
	}
	return false;
}

static struct err *set(struct flags *f, const struct flag *flag, const char *value)
{
	bool *on = (bool *)((char *)f + flag->offset);

	if (flag->kind == KIND_TEXT)
		*(const char **)((char *)f + flag->offset) = value;
	else if (!value)
		*on = true;
	else if (!parse_bool(value, on))
		return err_new(ERR_INVALID, "invalid boolean value \"%s\" for -%s: parse error",
			value, flag->name);
	return NULL;
}

struct err *flags_parse(int argc, char *const *argv, struct flags *ret)
{
	struct flags f = {.ns = "",
		.id = "",
		.address = "",
		.publish_binary = "",
		.bundle = "",
		.socket = "",
		.debug_socket = "",
		.action = ""};
	int i;

	for (i = 1; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		const char *name = argv[i] + (argv[i][1] == '-' ? 2 : 1), *value;
		const struct flag *flag;
		size_t len = strcspn(name, "=");

		if (!*name) { /* "--" ends the flags */
			i++;
			break;
		}
		flag = find(name, len);
		if (!flag)
			return err_new(ERR_INVALID, "flag provided but not defined: -%.*s",
				(int)len, name);
		value = name[len] ? name + len + 1 : NULL;
		if (flag->kind == KIND_TEXT && !value) {
			if (++i == argc)
				return err_new(
					ERR_INVALID, "flag needs an argument: -%s", flag->name);
			value = argv[i];
		}
		TRY(set(&f, flag, value));
	}
	if (i < argc)
		f.action = argv[i];
	*ret = f;
	return NULL;
}
