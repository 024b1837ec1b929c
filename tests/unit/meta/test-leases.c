// SPDX-License-Identifier: Apache-2.0
#include "meta/leases.h"

#include <ctype.h>

#include "tests/unit/meta/fixture.h"

static struct strmap none;

static void test_create_list_delete(void **state)
{
	struct fixture *f = *state;
	autoval(strmap) labels = STRMAP_INIT;
	autoval(lease) a = {0}, dup = {0};
	autoval(lease_list) list = {0}, filtered = {0};
	char *filter = (char[]){"labels.k==v"};

	labels_set(&labels, "k=v", "e=", NULL);
	ok(leases_create(f->meta, &in_test, "a", &labels, &a));
	assert_int_equal(a.labels.n, 1);
	refused(leases_create(f->meta, &in_test, "a", &labels, &dup), ERR_EXISTS,
		"lease \"a\": already exists");
	ok(leases_create(f->meta, &in_test, "b", &none, &dup));
	ok(leases_list(f->meta, &in_test, NULL, 0, &list));
	assert_int_equal(list.n, 2);
	assert_int_equal(timestamp_compare(list.items[0].created_at, a.created_at), 0);
	ok(leases_list(f->meta, &in_test, &filter, 1, &filtered));
	assert_int_equal(filtered.n, 1);
	ok(leases_delete(f->meta, &in_test, "a"));
	refused(leases_delete(f->meta, &in_test, "a"), ERR_NOT_FOUND, "lease \"a\": not found");
}

static void test_id_that_is_made(void **state)
{
	struct fixture *f = *state;
	autoval(lease) a = {0}, b = {0};
	const char *dash;

	ok(leases_create(f->meta, &in_test, NULL, &none, &a));
	ok(leases_create(f->meta, &in_test, "", &none, &b));
	assert_string_not_equal(a.id, b.id);
	dash = strchr(a.id, '-');
	assert_non_null(dash);
	assert_int_equal(strlen(dash), 5);
	for (const char *p = a.id; p < dash; p++)
		assert_true(isdigit((unsigned char)*p));
}

static void test_resources(void **state)
{
	static const struct {
		const char *id, *type;
		enum err_class class;
		const char *text;
	} cases[] = {
		{DIGEST_A, "content", ERR_OK, ""},
		{DIGEST_A, "content", ERR_OK, ""},
		{"ref", "ingests", ERR_OK, ""},
		{"docker.io/x", "images", ERR_OK, ""},
		{"key", "snapshots/overlayfs", ERR_OK, ""},
		{"key", "snapshots/native", ERR_OK, ""},
		{"x", "content", ERR_INVALID, NULL},
		{"x", "content/y", ERR_INVALID,
			"invalid resource type content/y: invalid argument"},
		{"x", "snapshots", ERR_INVALID,
			"invalid snapshot resource type snapshots: invalid argument"},
		{"x", "snapshots/a/b", ERR_INVALID,
			"invalid snapshot resource type snapshots/a/b: invalid argument"},
		{"x", "containers", ERR_UNIMPLEMENTED,
			"resource type containers not supported yet: not implemented"},
		{"x", "", ERR_UNIMPLEMENTED, "resource type  not supported yet: not implemented"},
	};
	static const char *const order[] = {
		"content", "images", "ingests", "snapshots/native", "snapshots/overlayfs"};
	struct fixture *f = *state;
	autoval(lease) l = {0};
	autoval(lease_resource_list) held = {0}, after = {0};

	refused(leases_add_resource(f->meta, &in_test, "l", DIGEST_A, "content"), ERR_NOT_FOUND,
		"lease \"l\": not found");
	ok(leases_create(f->meta, &in_test, "l", &none, &l));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		refused(leases_add_resource(f->meta, &in_test, "l", cases[i].id, cases[i].type),
			cases[i].class, cases[i].text);
	ok(leases_list_resources(f->meta, &in_test, "l", &held));
	assert_int_equal(held.n, ARRAY_LEN(order));
	for (size_t i = 0; i < held.n; i++)
		assert_string_equal(held.items[i].type, order[i]);
	ok(leases_delete_resource(f->meta, &in_test, "l", "key", "snapshots/native"));
	ok(leases_delete_resource(f->meta, &in_test, "l", "never there", "images"));
	ok(leases_list_resources(f->meta, &in_test, "l", &after));
	assert_int_equal(after.n, ARRAY_LEN(order) - 1);
	refused(leases_list_resources(f->meta, &in_other, "l", &after), ERR_NOT_FOUND,
		"lease \"l\": not found");
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_create_list_delete),
		T(test_id_that_is_made),
		T(test_resources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
