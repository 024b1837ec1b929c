// SPDX-License-Identifier: Apache-2.0
#include "runtime/bootstrap.h"

#include <ctype.h>
#include <string.h>

#include "base/json.h"
#include "proto/bootstrap.pb-c.h"
#include "rpc/message.h"
#include "runtime/bundle.h"

#define ADDRESS_MAX 256

void bootstrap_done(struct bootstrap *b)
{
	free(b->address);
	free(b->protocol);
}

static void set(
	struct bootstrap *b, int version, const char *address, size_t len, const char *protocol)
{
	b->version = version;
	b->address = xstrndup(address, len);
	b->protocol = xstrdup(protocol);
}

static bool from_message(const char *text, size_t len, struct bootstrap *b)
{
	autoptr(arena) arena = arena_new();
	const Bootstrap__BootstrapResult *r;
	void *m = NULL;
	autoptr(err) e =
		message_unpack(&bootstrap__bootstrap_result__descriptor, text, len, arena, &m);

	if (e)
		return false;
	r = m;
	if (str_empty(r->address) || str_empty(r->protocol))
		return false;
	set(b, r->version, r->address, strlen(r->address), r->protocol);
	return true;
}

static bool from_json(const char *text, size_t len, struct bootstrap *b)
{
	autoptr(json_object) o = NULL;
	autoptr(err) e = json_parse(text, len, &o);
	const char *address = e ? NULL : json_find_string(o, "address");
	int version = e ? 0 : json_object_get_int(json_find(o, "version"));

	if (!address || version < 2)
		return false;
	set(b, version, address, strlen(address), str_or(json_find_string(o, "protocol"), "ttrpc"));
	return true;
}

static bool is_address(const char *text, size_t len)
{
	if (!len || len > ADDRESS_MAX || *text == '{')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)text[i]))
			return false;
	return true;
}

struct err *bootstrap_check(const struct bootstrap *b)
{
	if (b->version > SHIM_VERSION_MAX || b->version < 1)
		return err_new(ERR_UNIMPLEMENTED, "unsupported shim version (%d)", b->version);
	if (strcasecmp(b->protocol, "ttrpc") != 0)
		return err_new(ERR_UNIMPLEMENTED,
			"shim protocol \"%.64s\" is not supported, only ttrpc", b->protocol);
	if (!is_address(b->address, strlen(b->address)))
		return err_new(ERR_INVALID, "malformed shim address");
	if (strstr(b->address, "://") && !str_starts(b->address, "unix://"))
		return err_new(ERR_UNIMPLEMENTED,
			"shim address %s is not supported, only sockets of this host", b->address);
	return NULL;
}

struct err *bootstrap_parse(const char *text, size_t len, struct bootstrap *ret)
{
	autoval(bootstrap) b = {0};

	if (!len)
		return err_new(ERR_UNKNOWN, "shim printed no address");
	if (!from_message(text, len, &b)) {
		for (; len && isspace((unsigned char)text[len - 1]); len--)
			;
		for (; len && isspace((unsigned char)*text); text++, len--)
			;
		if (!from_json(text, len, &b)) {
			if (!is_address(text, len))
				return err_new(ERR_UNKNOWN, "shim printed no address but \"%.*s\"",
					(int)MIN(len, 64u), text);
			set(&b, 2, text, len, "ttrpc");
		}
	}
	TRY(bootstrap_check(&b));
	*ret = b;
	b = (struct bootstrap){0};
	return NULL;
}

struct err *bootstrap_load(const char *bundle, struct bootstrap *ret)
{
	autofree char *text = bundle_read(bundle, "bootstrap.json");

	if (!text)
		text = bundle_read(bundle, "address");
	if (!text)
		return err_new(ERR_NOT_FOUND, "bundle %s has no address of its shim", bundle);
	return err_wrap(bootstrap_parse(text, strlen(text), ret), "bundle %s", bundle);
}

struct err *bootstrap_save(const char *bundle, const struct bootstrap *b)
{
	autoptr(json_object) o = json_object_new_object();

	json_object_object_add(o, "version", json_object_new_int(b->version));
	json_object_object_add(o, "address", json_object_new_string(b->address));
	json_object_object_add(o, "protocol", json_object_new_string(b->protocol));
	return bundle_write(bundle, "bootstrap.json",
		json_object_to_json_string_ext(
			o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
		0644);
}
