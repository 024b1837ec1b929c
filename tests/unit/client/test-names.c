// SPDX-License-Identifier: Apache-2.0
/* Names in archives, and messages as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/strv.h"
#include "oci/image-names.h"
#include "client/message-json.h"
#include "proto/events.pb-c.h"

static void test_clean_paths(void **state)
{
	static const char *const cases[][2] = {
		{"a/b", "a/b"},
		{"./a//b/", "a/b"},
		{"a/../b", "b"},
		{"../../etc/passwd", "etc/passwd"},
		{"/index.json", "index.json"},
		{"", ""},
		{".", ""},
		{"..", ""},
		{"a/b/../../../c", "c"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autofree char *got = image_clean_path(cases[i][0]);

		assert_string_equal(got, cases[i][1]);
	}
}

static void test_blob_digests(void **state)
{
	static const char hex[] =
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	autofree char *good = xasprintf("blobs/sha256/%s", hex);
	autofree char *want = xasprintf("sha256:%s", hex);
	autofree char *digest = image_blob_digest(good);
	autofree char *deep = xasprintf("blobs/sha256/x/%s", hex);
	const char *const bad[] = {"blobs/sha256", "blobs/sha256/abc", "blobs/md5/abc", hex, deep,
		"x/blobs/sha256/abc", "blobs/", ""};

	assert_string_equal(digest, want);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		autofree char *got = image_blob_digest(bad[i]);

		assert_null(got);
	}
}

static void test_ref_names(void **state)
{
	static const char *const cases[][2] = {
		{"docker.io/library/x:latest", "latest"},
		{"localhost:5000/x:1", "1"},
		{"localhost:5000/x", "localhost:5000/x"},
		{"docker.io/x@sha256:ab", "@sha256:ab"},
		{"docker.io/x:1@sha256:ab", "1@sha256:ab"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autofree char *got = image_ref_name(cases[i][0]);

		assert_string_equal(got, cases[i][1]);
	}
}

static void test_full_names(void **state)
{
	autofree char *name = NULL, *bad = NULL;

	assert_null(image_full_name("alpine", &name));
	assert_string_equal(name, "docker.io/library/alpine:latest");
	autoptr(err) e = image_full_name("UPPER/../x", &bad);
	assert_true(err_is(e, ERR_INVALID));
}

static void test_entry_names(void **state)
{
	static const struct {
		const char *full, *ref;
		bool only_base;
		const char *want;
	} cases[] = {
		{"docker.io/library/x:1", "1", false, "docker.io/library/x:1"},
		{NULL, "1", false, "base/name:1"},
		{NULL, "1", true, "base/name:1"},
		{NULL, "other/x:1", false, "other/x:1"},
		{NULL, "other/x:1", true, NULL},
		{NULL, "base/name:2", true, "base/name:2"},
		{NULL, "base/names:2", true, NULL},
		{NULL, NULL, false, NULL},
		{NULL, "", false, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(strmap) annotations = STRMAP_INIT;

		if (cases[i].full)
			strmap_set(&annotations, NAME_ANNOTATION, cases[i].full);
		if (cases[i].ref)
			strmap_set(&annotations, REF_ANNOTATION, cases[i].ref);
		autofree char *got =
			image_entry_name(&annotations, "base/name", cases[i].only_base);
		assert_true(str_eq(got, cases[i].want));
	}
}

static void check_json(const void *message, const char *want)
{
	autoval(buf) b = BUF_INIT(4096);

	assert_true(message_to_json(message, &b));
	assert_string_equal(buf_str(&b), want);
}

static void test_json(void **state)
{
	Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	Events__TaskExit exited = EVENTS__TASK_EXIT__INIT;
	Events__TaskCreate created = EVENTS__TASK_CREATE__INIT;
	Events__TaskIO io = EVENTS__TASK_IO__INIT;
	Types__Mount mount = TYPES__MOUNT__INIT, *mounts[] = {&mount};
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	char first[] = "a\"b", second[] = "<&>\n\x01", *options[] = {first, second};

	time.seconds = 1651406400;
	time.nanos = 5000000;
	exited.container_id = (char *)"x";
	exited.pid = 7;
	exited.exited_at = &time;
	check_json(&exited,
		"{\"container_id\":\"x\",\"pid\":7,\"exited_at\":\"2022-05-01T12:00:00.005Z\"}");
	mount.type = (char *)"bind";
	mount.n_options = 2;
	mount.options = options;
	io.terminal = true;
	created.n_rootfs = 1;
	created.rootfs = mounts;
	created.io = &io;
	check_json(&created, "{\"rootfs\":[{\"type\":\"bind\",\"options\":[\"a\\\"b\","
			     "\"\\u003c\\u0026\\u003e\\n\\u0001\"]}],\"io\":{\"terminal\":true}}");
	any.type_url = (char *)"t";
	any.value = (ProtobufCBinaryData){.data = (uint8_t *)"abcd", .len = 4};
	check_json(&any, "{\"type_url\":\"t\",\"value\":\"YWJjZA==\"}");
}

static void test_json_maps(void **state)
{
	Events__NamespaceCreate created = EVENTS__NAMESPACE_CREATE__INIT;
	Events__NamespaceCreate__LabelsEntry a = EVENTS__NAMESPACE_CREATE__LABELS_ENTRY__INIT,
					     b = EVENTS__NAMESPACE_CREATE__LABELS_ENTRY__INIT,
					     *entries[] = {&b, &a};

	a.key = (char *)"a";
	a.value = (char *)"";
	b.key = (char *)"b";
	b.value = (char *)"2";
	created.name = (char *)"n";
	created.n_labels = 2;
	created.labels = entries;
	check_json(&created, "{\"name\":\"n\",\"labels\":{\"a\":\"\",\"b\":\"2\"}}");
}

static void test_json_bound(void **state)
{
	Events__NamespaceCreate created = EVENTS__NAMESPACE_CREATE__INIT;

	created.name = (char *)"longer than the buffer may become";
	for (size_t max = 0; max < 40; max++) {
		autoval(buf) b = BUF_INIT(max);

		assert_false(message_to_json(&created, &b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean_paths),
		cmocka_unit_test(test_blob_digests),
		cmocka_unit_test(test_ref_names),
		cmocka_unit_test(test_full_names),
		cmocka_unit_test(test_entry_names),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_maps),
		cmocka_unit_test(test_json_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
