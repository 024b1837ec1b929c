// SPDX-License-Identifier: Apache-2.0
#include "meta/namespaces.h"

#include "meta/containers.h"
#include "meta/leases.h"
#include "tests/unit/meta/fixture.h"

static void test_create_list_delete(void **state)
{
	struct fixture *f = *state;
	autoval(namespace_list) list = {0}, after = {0};
	autoval(strmap) labels = STRMAP_INIT;
	autoval(strv) seen = STRV_INIT;

	meta_set_observer(f->meta, observe_into, &seen);
	labels_set(&labels, "a=1", "empty=", NULL);
	ok(namespace_create(f->meta, "one", &labels));
	ok(namespace_create(f->meta, "another", &(struct strmap){0}));
	refused(namespace_create(f->meta, "one", &labels), ERR_EXISTS,
		"namespace \"one\": already exists");
	refused(namespace_create(f->meta, "bad/name", &labels), ERR_INVALID, NULL);
	ok(namespace_list_all(f->meta, &list));
	assert_int_equal(list.n, 2);
	assert_string_equal(list.items[0].name, "another");
	assert_string_equal(list.items[1].name, "one");
	assert_string_equal(strmap_get(&list.items[1].labels, "a"), "1");
	assert_null(strmap_get(&list.items[1].labels, "empty"));
	ok(namespace_delete(f->meta, "one"));
	refused(namespace_delete(f->meta, "one"), ERR_NOT_FOUND, "namespace \"one\": not found");
	ok(namespace_list_all(f->meta, &after));
	assert_int_equal(after.n, 1);
	assert_int_equal(seen.n, 3);
	assert_string_equal(seen.items[2], "2:one:one");
}

static void test_update(void **state)
{
	struct fixture *f = *state;
	autoval(strmap) labels = STRMAP_INIT, change = STRMAP_INIT;
	autoval(namespace_info) info = {0}, replaced = {0}, read = {0};

	labels_set(&labels, "a=1", "b=2", NULL);
	ok(namespace_create(f->meta, "one", &labels));
	labels_set(&change, "a=", "c=3", NULL);
	ok(namespace_update(f->meta, "one", &change, false, &info));
	assert_int_equal(info.labels.n, 2);
	assert_string_equal(strmap_get(&info.labels, "b"), "2");
	assert_string_equal(strmap_get(&info.labels, "c"), "3");
	ok(namespace_update(f->meta, "one", &change, true, &replaced));
	assert_int_equal(replaced.labels.n, 1);
	fixture_reopen(f);
	ok(namespace_get(f->meta, "one", &read));
	assert_true(strmap_equal(&read.labels, &replaced.labels));
}

/* As in containerd: to ask for an unknown one is no error, and to label it makes it. */
static void test_unknown(void **state)
{
	struct fixture *f = *state;
	autoval(strmap) labels = STRMAP_INIT;
	autoval(namespace_info) info = {0};
	autoval(namespace_list) list = {0};

	ok(namespace_get(f->meta, "none", &info));
	assert_int_equal(info.labels.n, 0);
	labels_set(&labels, "a=1", NULL);
	ok(namespace_update(f->meta, "fresh", &labels, false, NULL));
	ok(namespace_list_all(f->meta, &list));
	assert_int_equal(list.n, 1);
	assert_string_equal(list.items[0].name, "fresh");
}

static void test_delete_refuses_what_is_not_empty(void **state)
{
	struct fixture *f = *state;
	autoptr(container) c = container_new(), *made = NULL;
	autoval(lease) lease = {0}, again = {0};
	autoval(lease_list) leases = {0};

	c->id = xstrdup("c1");
	c->runtime = xstrdup("r");
	any_set(&c->spec, "t", "v", 1);
	ok(containers_create(f->meta, &in_test, c, &made));
	ok(leases_create(f->meta, &in_test, "l", &(struct strmap){0}, &lease));
	refused(namespace_delete(f->meta, "test"), ERR_PRECONDITION,
		"namespace \"test\" must be empty, but it still has containers: failed "
		"precondition");
	ok(containers_delete(f->meta, &in_test, "c1"));
	ok(namespace_delete(f->meta, "test"));
	ok(leases_list(f->meta, &in_test, NULL, 0, &leases));
	assert_int_equal(leases.n, 0);
	ok(leases_create(f->meta, &in_test, "l", &(struct strmap){0}, &again));
}

static void test_scope(void **state)
{
	struct fixture *f = *state;
	autoptr(container) c = NULL;

	refused(containers_get(f->meta, &(struct scope){0}, "x", &c), ERR_PRECONDITION,
		"namespace is required: failed precondition");
	refused(containers_get(f->meta, &(struct scope){.ns = "a b"}, "x", &c), ERR_INVALID, NULL);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_create_list_delete),
		T(test_update),
		T(test_unknown),
		T(test_delete_refuses_what_is_not_empty),
		T(test_scope),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
