// SPDX-License-Identifier: Apache-2.0
#include "rpc/message.h"

#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"

#define DEPTH_MAX 32
/* What a message may grow to in memory: many tiny fields cost far more than their bytes. */
#define EXPANSION_MAX ((size_t)192 << 20)
#define FIELD_COST 40

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* --- a walk over the wire form, before protobuf-c recurses into it --- */

struct walk {
	const uint8_t *at, *end;
	const ProtobufCMessageDescriptor *type;
};

struct budget {
	size_t used;
	const char *what; /* why the message is refused */
};

static bool refuse(struct budget *b, const char *what)
{
	b->what = what;
	return false;
}

static bool get_varint(struct walk *w, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70 && w->at < w->end; shift += 7) {
		uint8_t byte = *w->at++;

		if (shift < 64)
			v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

static bool skip(struct walk *w, size_t len)
{
	if ((size_t)(w->end - w->at) < len)
		return false;
	w->at += len;
	return true;
}

static bool check_message(struct walk w, unsigned depth, struct budget *b);

/* A length-delimited field of a known number: text, a message inside, or packed numbers. */
static bool check_bytes(const ProtobufCFieldDescriptor *f, const uint8_t *data, size_t len,
	unsigned depth, struct budget *b)
{
	struct walk inner;

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		if (memchr(data, 0, len))
			return refuse(b, "string field contains a NUL byte");
		if (!utf8_valid((const char *)data, len))
			return refuse(b, "string field contains invalid UTF-8");
		return true;
	case PROTOBUF_C_TYPE_BYTES:
		return true;
	case PROTOBUF_C_TYPE_MESSAGE:
		if (depth >= DEPTH_MAX)
			return refuse(b, "message is nested too deeply");
		inner = (struct walk){data, data + len, f->descriptor};
		b->used += inner.type->sizeof_message;
		return check_message(inner, depth + 1, b);
	default:
		b->used += len * sizeof(uint64_t);
		return true;
	}
}

static bool check_field(struct walk *w, unsigned depth, struct budget *b)
{
	uint64_t tag, len;
	const ProtobufCFieldDescriptor *f;
	const uint8_t *data;

	if (!get_varint(w, &tag) || tag >> 3 == 0 || tag > UINT32_MAX)
		return refuse(b, "malformed tag");
	b->used += FIELD_COST;
	if (b->used > EXPANSION_MAX)
		return refuse(b, "message has too many fields");
	switch (tag & 7) {
	case WIRE_VARINT:
		return get_varint(w, &len) || refuse(b, "malformed number");
	case WIRE_64:
		return skip(w, 8) || refuse(b, "truncated number");
	case WIRE_32:
		return skip(w, 4) || refuse(b, "truncated number");
	case WIRE_BYTES:
		break;
	default:
		return refuse(b, "unknown wire type");
	}
	if (!get_varint(w, &len) || len > (size_t)(w->end - w->at))
		return refuse(b, "truncated field");
	data = w->at;
	w->at += len;
	b->used += len;
	f = protobuf_c_message_descriptor_get_field(w->type, (unsigned)(tag >> 3));
	return !f || check_bytes(f, data, (size_t)len, depth, b);
}

static bool check_message(struct walk w, unsigned depth, struct budget *b)
{
	while (w.at < w.end) {
		if (!check_field(&w, depth, b))
			return false;
	}
	return true;
}

/* --- unpacking into an arena --- */

static void *arena_get(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void arena_keep(void *arena, void *p)
{
	(void)arena;
	(void)p;
}

struct err *message_unpack(const ProtobufCMessageDescriptor *type, const void *data, size_t len,
	struct arena *arena, void **ret)
{
	static const uint8_t nothing[1];
	const uint8_t *bytes = len ? data : nothing;
	struct walk w = {bytes, bytes + len, type};
	struct budget b = {0};
	ProtobufCAllocator allocator = {arena_get, arena_keep, arena};
	void *message;

	if (!check_message(w, 1, &b))
		return err_new(ERR_INVALID, "%s: %s", type->name, b.what);
	message = protobuf_c_message_unpack(type, &allocator, len, bytes);
	if (!message)
		return err_new(ERR_INVALID, "%s: malformed message", type->name);
	*ret = message;
	return NULL;
}

size_t message_size(const void *message)
{
	return protobuf_c_message_get_packed_size(message);
}

void *message_pack(const void *message, struct arena *arena, size_t *ret_len)
{
	void *bytes = arena_alloc(arena, message_size(message));

	*ret_len = protobuf_c_message_pack(message, bytes);
	return bytes;
}

/* --- well-known types --- */

Google__Protobuf__Any *message_to_any(const void *message, struct arena *arena)
{
	const ProtobufCMessage *m = message;
	Google__Protobuf__Any *any = ARENA_NEW(arena, Google__Protobuf__Any);

	google__protobuf__any__init(any);
	any->type_url = arena_strdup(arena, m->descriptor->name);
	any->value.data = message_pack(message, arena, &any->value.len);
	return any;
}

static const char *bare_name(const char *type_url)
{
	const char *slash = strrchr(type_url, '/');

	return slash ? slash + 1 : type_url;
}

bool any_is(const Google__Protobuf__Any *any, const char *full_name)
{
	return any && strcmp(bare_name(str_or(any->type_url, "")), full_name) == 0;
}

struct err *message_from_any(const Google__Protobuf__Any *any,
	const ProtobufCMessageDescriptor *type, struct arena *arena, void **ret)
{
	if (!any_is(any, type->name))
		return err_new(ERR_INVALID, "mismatched type: expected %s, got \"%s\"", type->name,
			any ? str_or(any->type_url, "") : "");
	return message_unpack(type, any->value.data, any->value.len, arena, ret);
}

Google__Protobuf__Any *any_to_wire(const struct any *a, struct arena *arena)
{
	Google__Protobuf__Any *any;

	if (!a || !a->type_url)
		return NULL;
	any = ARENA_NEW(arena, Google__Protobuf__Any);
	google__protobuf__any__init(any);
	any->type_url = a->type_url;
	any->value.data = a->value;
	any->value.len = a->len;
	return any;
}

void any_from_wire(struct any *to, const Google__Protobuf__Any *from)
{
	if (from)
		any_set(to, str_or(from->type_url, ""), from->value.data, from->value.len);
	else
		any_done(to);
}

/* January 1 of the year 1: what Go's clients know as "no time" and its peers send for it. */
#define NO_TIME_SECONDS (-62135596800)

Google__Protobuf__Timestamp *timestamp_to_wire(struct timestamp t, struct arena *arena)
{
	Google__Protobuf__Timestamp *wire = ARENA_NEW(arena, Google__Protobuf__Timestamp);

	google__protobuf__timestamp__init(wire);
	wire->seconds = timestamp_is_zero(t) ? NO_TIME_SECONDS : t.sec;
	wire->nanos = t.nsec;
	return wire;
}

struct timestamp timestamp_from_wire(const Google__Protobuf__Timestamp *t)
{
	struct timestamp out = {0};

	if (!t || (t->seconds == NO_TIME_SECONDS && !t->nanos))
		return out;
	out.sec = t->seconds;
	/* Only what the type allows; a peer's nonsense is cut, not carried on. */
	out.nsec = t->nanos < 0 ? 0 : MIN(t->nanos, 999999999);
	return out;
}

/* What every generated map<string,string> entry looks like. */
struct map_entry {
	ProtobufCMessage base;
	char *key, *value;
};

void *strmap_to_wire(const struct strmap *m, size_t entry_size, void (*init)(void *entry),
	struct arena *arena, size_t *ret_n)
{
	struct map_entry **entries;

	*ret_n = m->n;
	if (!m->n)
		return NULL;
	entries = arena_array(arena, m->n, sizeof(*entries));
	for (size_t i = 0; i < m->n; i++) {
		entries[i] = arena_alloc(arena, MAX(entry_size, sizeof(struct map_entry)));
		init(entries[i]);
		entries[i]->key = m->entries[i].key;
		entries[i]->value = m->entries[i].value;
	}
	return entries;
}

void strmap_from_wire(struct strmap *m, size_t n, void *entries)
{
	struct map_entry **from = entries;

	strmap_done(m);
	for (size_t i = 0; i < n; i++)
		strmap_set(m, str_or(from[i]->key, ""), str_or(from[i]->value, ""));
}
