// SPDX-License-Identifier: Apache-2.0
#include "client/message-json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/strv.h"
#include "base/timestamp.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "rpc/message.h"

#define MEMBER(message, offset, T) (*(const T *)((const char *)(message) + (offset)))

struct map_entry {
	ProtobufCMessage base;
	const char *key, *value;
};

static bool base64(const ProtobufCBinaryData *data, struct buf *b)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	bool ok = buf_append(b, "\"", 1);

	for (size_t i = 0; ok && i < data->len; i += 3) {
		size_t n = MIN(data->len - i, (size_t)3);
		unsigned v = (unsigned)data->data[i] << 16;
		char four[4];

		if (n > 1)
			v |= (unsigned)data->data[i + 1] << 8;
		if (n > 2)
			v |= data->data[i + 2];
		for (unsigned j = 0; j < 4; j++)
			four[j] = j <= n ? digits[v >> (18 - 6 * j) & 63] : '=';
		ok = buf_append(b, four, sizeof(four));
	}
	return ok && buf_append(b, "\"", 1);
}

static bool timestamp_json(const Google__Protobuf__Timestamp *t, struct buf *b)
{
	char text[TIMESTAMP_TEXT];

	timestamp_format(timestamp_from_wire(t), text);
	return json_string(text, b);
}

static bool sub_message(const ProtobufCMessage *m, struct buf *b)
{
	if (m->descriptor == &google__protobuf__timestamp__descriptor)
		return timestamp_json((const Google__Protobuf__Timestamp *)m, b);
	return message_to_json(m, b);
}

/* One value of a field, which is at `p`. */
static bool value(ProtobufCType type, const void *p, struct buf *b)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_ENUM:
		return buf_printf(b, "%" PRId32, *(const int32_t *)p);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return buf_printf(b, "%" PRIu32, *(const uint32_t *)p);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return buf_printf(b, "%" PRId64, *(const int64_t *)p);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return buf_printf(b, "%" PRIu64, *(const uint64_t *)p);
	case PROTOBUF_C_TYPE_FLOAT:
		return buf_printf(b, "%g", (double)*(const float *)p);
	case PROTOBUF_C_TYPE_DOUBLE:
		return buf_printf(b, "%.17g", *(const double *)p);
	case PROTOBUF_C_TYPE_BOOL:
		return buf_printf(b, "%s", *(const protobuf_c_boolean *)p ? "true" : "false");
	case PROTOBUF_C_TYPE_STRING:
		return json_string(str_or(*(char *const *)p, ""), b);
	case PROTOBUF_C_TYPE_BYTES:
		return base64(p, b);
	case PROTOBUF_C_TYPE_MESSAGE:
		return sub_message(*(ProtobufCMessage *const *)p, b);
	}
	return false;
}

static size_t value_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	default:
		return 4;
	}
}

static bool is_zero(ProtobufCType type, const void *p)
{
	static const char zeroes[sizeof(ProtobufCBinaryData)];

	if (type == PROTOBUF_C_TYPE_STRING)
		return str_empty(*(char *const *)p);
	if (type == PROTOBUF_C_TYPE_BYTES)
		return ((const ProtobufCBinaryData *)p)->len == 0;
	return memcmp(p, zeroes, value_size(type)) == 0;
}

/* Generated map entries of strings: a message with exactly a key and a value. */
static bool is_map(const ProtobufCFieldDescriptor *f)
{
	const ProtobufCMessageDescriptor *d = f->descriptor;

	return f->type == PROTOBUF_C_TYPE_MESSAGE && d->n_fields == 2 &&
	       str_ends(d->short_name, "Entry") && str_eq(d->fields[0].name, "key") &&
	       d->fields[1].type == PROTOBUF_C_TYPE_STRING;
}

static int compare_entries(const void *a, const void *b)
{
	const struct map_entry *const *x = a, *const *y = b;

	return strcmp((*x)->key, (*y)->key);
}

static bool map(const struct map_entry **entries, size_t n, struct buf *b)
{
	bool ok = buf_append(b, "{", 1);

	qsort(entries, n, sizeof(*entries), compare_entries);
	for (size_t i = 0; ok && i < n; i++)
		ok = (i == 0 || buf_append(b, ",", 1)) && json_string(entries[i]->key, b) &&
		     buf_append(b, ":", 1) && json_string(entries[i]->value, b);
	return ok && buf_append(b, "}", 1);
}

static bool repeated(const ProtobufCFieldDescriptor *f, const void *message, struct buf *b)
{
	size_t n = MEMBER(message, f->quantifier_offset, size_t);
	const char *items = MEMBER(message, f->offset, void *);
	bool ok;

	if (is_map(f))
		return map((const struct map_entry **)items, n, b);
	ok = buf_append(b, "[", 1);
	for (size_t i = 0; ok && i < n; i++)
		ok = (i == 0 || buf_append(b, ",", 1)) &&
		     value(f->type, items + i * value_size(f->type), b);
	return ok && buf_append(b, "]", 1);
}

static bool is_absent(const ProtobufCFieldDescriptor *f, const void *message)
{
	const void *p = (const char *)message + f->offset;

	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return MEMBER(message, f->quantifier_offset, uint32_t) != f->id;
	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return MEMBER(message, f->quantifier_offset, size_t) == 0;
	return is_zero(f->type, p);
}

bool message_to_json(const void *message, struct buf *b)
{
	const ProtobufCMessageDescriptor *d = ((const ProtobufCMessage *)message)->descriptor;
	bool ok = buf_append(b, "{", 1), first = true;

	for (unsigned i = 0; ok && i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];

		if (is_absent(f, message))
			continue;
		ok = buf_printf(b, "%s\"%s\":", first ? "" : ",", f->name);
		if (ok && f->label == PROTOBUF_C_LABEL_REPEATED)
			ok = repeated(f, message, b);
		else if (ok)
			ok = value(f->type, (const char *)message + f->offset, b);
		first = false;
	}
	return ok && buf_append(b, "}", 1);
}
