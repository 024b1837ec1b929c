// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "proto/containers.pb-c.h"
#include "proto/types.pb-c.h"
#include "rpc/message.h"

static const ProtobufCMessageDescriptor *any_type = &google__protobuf__any__descriptor;

/* The words the bytes are refused with; NULL when they are taken. */
static char *refusal(const ProtobufCMessageDescriptor *type, const void *data, size_t len)
{
	autoptr(arena) a = arena_new();
	void *message = NULL;
	autoptr(err) e = message_unpack(type, data, len, a, &message);

	if (!e)
		return NULL;
	assert_true(err_is(e, ERR_INVALID));
	assert_true(strncmp(err_message(e), type->name, strlen(type->name)) == 0);
	return xstrdup(err_message(e) + strlen(type->name));
}

static void test_refusals(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *words; /* NULL: taken */
	} rows[] = {
		{"", 0, NULL},
		{"\x0a\x01x\x12\x01y", 6, NULL},
		{"\x0a\x02\xc3\xa9", 4, NULL},
		{"\x12\x02\xff\x00", 4, NULL}, /* bytes may be anything */
		{"\x0a\x01\xff", 3, ": string field contains invalid UTF-8"},
		{"\x0a\x03\xed\xa0\x80", 5, ": string field contains invalid UTF-8"},
		{"\x0a\x03x\0y", 5, ": string field contains a NUL byte"},
		{"\x0a\x05x", 3, ": truncated field"},
		{"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, ": truncated field"},
		{"\x0a", 1, ": truncated field"},
		{"\x80", 1, ": malformed tag"},
		{"\x0b\x0c", 2, ": unknown wire type"}, /* groups */
		{"\x1d\x01\x02", 3, ": truncated number"},
		{"\x18\xff", 2, ": malformed number"},
		{"\x1a\x01\xff", 3, NULL},		/* a field nobody knows */
		{"\x08\x05", 2, ": malformed message"}, /* a number where text belongs */
		{"\x02\x01x", 3, ": malformed tag"},	/* field 0 */
		{"\x80\x00x", 3, ": malformed tag"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		autofree char *words = refusal(any_type, rows[i].bytes, rows[i].len);

		if (rows[i].words)
			assert_string_equal(words, rows[i].words);
		else
			assert_null(words);
	}
}

/* message Node { Node next = 1; }, which no service has. */
struct node {
	ProtobufCMessage base;
	struct node *next;
};

static const ProtobufCMessageDescriptor node_type;
static const ProtobufCFieldDescriptor node_fields[] = {{
	.name = "next",
	.id = 1,
	.label = PROTOBUF_C_LABEL_NONE,
	.type = PROTOBUF_C_TYPE_MESSAGE,
	.offset = offsetof(struct node, next),
	.descriptor = &node_type,
}};
static const unsigned node_by_name[] = {0};
static const ProtobufCIntRange node_ranges[] = {{1, 0}, {0, 1}};
static const ProtobufCMessageDescriptor node_type = {
	.magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
	.name = "test.Node",
	.short_name = "Node",
	.c_name = "Node",
	.package_name = "test",
	.sizeof_message = sizeof(struct node),
	.n_fields = 1,
	.fields = node_fields,
	.fields_sorted_by_name = node_by_name,
	.n_field_ranges = 1,
	.field_ranges = node_ranges,
};

/* So many nodes, one in the other, of which the outermost is the message itself. */
static size_t nest(uint8_t *to, size_t cap, unsigned nodes)
{
	size_t len = 0;

	for (unsigned i = 1; i < nodes; i++) {
		uint8_t head[3] = {0x0a, (uint8_t)(len & 127), (uint8_t)(len >> 7)};
		size_t n = len > 127 ? 3 : 2;

		if (len > 127)
			head[1] |= 128;
		assert_true(len + n <= cap);
		memmove(to + n, to, len);
		memcpy(to, head, n);
		len += n;
	}
	return len;
}

static void test_depth(void **state)
{
	uint8_t bytes[4096];
	autofree char *at = NULL, *over = NULL, *far_over = NULL;

	at = refusal(&node_type, bytes, nest(bytes, sizeof(bytes), 32));
	assert_null(at);
	over = refusal(&node_type, bytes, nest(bytes, sizeof(bytes), 33));
	assert_string_equal(over, ": message is nested too deeply");
	far_over = refusal(&node_type, bytes, nest(bytes, sizeof(bytes), 1000));
	assert_string_equal(far_over, ": message is nested too deeply");
}

/* 16 MB of the smallest fields would be gigabytes unpacked. */
static void test_expansion(void **state)
{
	size_t len = (size_t)16 << 20;
	autofree uint8_t *bytes = xcalloc(1, len);
	autofree char *words = NULL;

	for (size_t i = 0; i < len; i += 2)
		bytes[i] = 0x18;
	words = refusal(any_type, bytes, len);
	assert_string_equal(words, ": message has too many fields");
}

static void test_any(void **state)
{
	autoptr(arena) a = arena_new();
	Types__Platform p = TYPES__PLATFORM__INIT;
	Google__Protobuf__Any *any, odd = GOOGLE__PROTOBUF__ANY__INIT;
	void *back;

	p.os = (char *)(uintptr_t)"linux";
	any = message_to_any(&p, a);
	assert_string_equal(any->type_url, "containerd.types.Platform");
	assert_true(any_is(any, "containerd.types.Platform"));
	assert_false(any_is(any, "Platform"));
	assert_false(any_is(NULL, "x"));
	odd = *any;
	odd.type_url = (char *)(uintptr_t)"types.containerd.io/containerd.types.Platform";
	assert_null(message_from_any(&odd, &types__platform__descriptor, a, &back));
	assert_string_equal(((Types__Platform *)back)->os, "linux");
	odd.type_url = (char *)(uintptr_t)"other";
	autoptr(err) e = message_from_any(&odd, &types__platform__descriptor, a, &back);
	assert_true(err_is(e, ERR_INVALID));
	autoptr(err) none = message_from_any(NULL, &types__platform__descriptor, a, &back);
	assert_true(err_is(none, ERR_INVALID));
}

static void test_wire_helpers(void **state)
{
	autoptr(arena) a = arena_new();
	autoval(any) from = ANY_INIT, to = ANY_INIT;
	Google__Protobuf__Timestamp odd = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	struct timestamp t = {1700000000, 5};

	assert_null(any_to_wire(&from, a));
	any_set(&from, "t", "abc", 3);
	any_from_wire(&to, any_to_wire(&from, a));
	assert_string_equal(to.type_url, "t");
	assert_int_equal(to.len, 3);
	any_from_wire(&to, NULL);
	assert_null(to.type_url);
	assert_int_equal(timestamp_compare(timestamp_from_wire(timestamp_to_wire(t, a)), t), 0);
	assert_true(timestamp_is_zero(timestamp_from_wire(NULL)));
	assert_int_equal(timestamp_to_wire((struct timestamp){0}, a)->seconds, -62135596800);
	assert_true(timestamp_is_zero(
		timestamp_from_wire(timestamp_to_wire((struct timestamp){0}, a))));
	odd.nanos = -7;
	assert_int_equal(timestamp_from_wire(&odd).nsec, 0);
	odd.nanos = INT32_MAX;
	assert_int_equal(timestamp_from_wire(&odd).nsec, 999999999);
}

static void test_strmap(void **state)
{
	autoptr(arena) a = arena_new();
	autoval(strmap) m = STRMAP_INIT, back = STRMAP_INIT;
	Containers__Container c = CONTAINERS__CONTAINER__INIT;
	size_t len;
	void *bytes, *again;

	strmap_set(&m, "b", "2");
	strmap_set(&m, "a", "");
	c.labels = STRMAP_TO_WIRE(&m, Containers__Container__LabelsEntry,
		containers__container__labels_entry__init, a, &c.n_labels);
	bytes = message_pack(&c, a, &len);
	assert_int_equal(len, message_size(&c));
	assert_null(message_unpack(&containers__container__descriptor, bytes, len, a, &again));
	Containers__Container *got = again;

	strmap_from_wire(&back, got->n_labels, got->labels);
	assert_true(strmap_equal(&m, &back));
	strmap_from_wire(&back, 0, NULL);
	assert_int_equal(back.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_expansion),
		cmocka_unit_test(test_any),
		cmocka_unit_test(test_wire_helpers),
		cmocka_unit_test(test_strmap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
