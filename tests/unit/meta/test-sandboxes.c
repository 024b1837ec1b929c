// SPDX-License-Identifier: Apache-2.0
#include "meta/sandboxes.h"

#include "meta/namespaces.h"
#include "tests/unit/meta/fixture.h"

static struct sandbox *sample(const char *id)
{
	struct sandbox *s = sandbox_new();

	s->id = xstrdup(id);
	s->runtime = xstrdup("io.containerd.runc.v2");
	s->sandboxer = xstrdup("shim");
	any_set(&s->runtime_options, "opts", "o\0o", 3);
	any_set(&s->spec, "types.containerd.io/opencontainers/runtime-spec/1/Spec", "{}", 2);
	labels_set(&s->labels, "a=1", "b.c=two", "nothing=", NULL);
	extensions_set(&s->extensions, "z", &(struct any){(char[]){"tz"}, (uint8_t[]){'1'}, 1});
	extensions_set(&s->extensions, "m", &(struct any){(char[]){"tm"}, NULL, 0});
	return s;
}

static void check_sample(const struct sandbox *s, const char *id)
{
	assert_string_equal(s->id, id);
	assert_string_equal(s->runtime, "io.containerd.runc.v2");
	assert_string_equal(s->runtime_options.type_url, "opts");
	assert_int_equal(s->runtime_options.len, 3);
	assert_memory_equal(s->runtime_options.value, "o\0o", 3);
	assert_string_equal(s->sandboxer, "shim");
	assert_int_equal(s->spec.len, 2);
	assert_int_equal(s->labels.n, 2);
	assert_string_equal(strmap_get(&s->labels, "b.c"), "two");
	assert_int_equal(s->extensions.n, 2);
	assert_string_equal(s->extensions.items[0].name, "m");
	assert_int_equal(s->extensions.items[0].value.len, 0);
	assert_memory_equal(s->extensions.items[1].value.value, "1", 1);
	assert_int_equal(timestamp_compare(s->created_at, s->updated_at), 0);
	assert_false(timestamp_is_zero(s->created_at));
}

static void test_create_get_delete(void **state)
{
	struct fixture *f = *state;
	autoptr(sandbox) s = sample("s1"), *made = NULL, *got = NULL, *none = NULL;

	ok(sandboxes_create(f->meta, &in_test, s, &made));
	check_sample(made, "s1");
	fixture_reopen(f);
	ok(sandboxes_get(f->meta, &in_test, "s1", &got));
	check_sample(got, "s1");
	refused(sandboxes_create(f->meta, &in_test, s, &none), ERR_EXISTS,
		"write error: sandbox bucket \"s1\" already exists: already exists");
	refused(sandboxes_get(f->meta, &in_other, "s1", &none), ERR_NOT_FOUND,
		"bucket \"s1\" not found: not found");
	refused(namespace_delete(f->meta, "test"), ERR_PRECONDITION,
		"namespace \"test\" must be empty, but it still has sandboxes: failed "
		"precondition");
	ok(sandboxes_delete(f->meta, &in_test, "s1"));
	refused(sandboxes_delete(f->meta, &in_test, "s1"), ERR_NOT_FOUND,
		"failed to delete sandbox \"s1\": not found");
	ok(namespace_delete(f->meta, "test"));
}

static void test_bare(void **state)
{
	struct fixture *f = *state;
	autoptr(sandbox) s = sandbox_new(), *made = NULL, *got = NULL;

	refused(sandboxes_create(f->meta, &(struct scope){0}, s, &made), ERR_PRECONDITION, NULL);
	refused(sandboxes_create(f->meta, &in_test, s, &made), ERR_INVALID, NULL);
	s->id = xstrdup("no slash/");
	refused(sandboxes_create(f->meta, &in_test, s, &made), ERR_INVALID, NULL);
	free(s->id);
	s->id = xstrdup("bare");
	ok(sandboxes_create(f->meta, &in_test, s, &made));
	ok(sandboxes_get(f->meta, &in_test, "bare", &got));
	assert_null(got->spec.type_url);
	assert_null(got->runtime_options.type_url);
	assert_string_equal(got->runtime, "");
	assert_string_equal(got->sandboxer, "");
	assert_int_equal(got->labels.n + got->extensions.n, 0);
}

static void test_update(void **state)
{
	struct fixture *f = *state;
	autoptr(sandbox) s = sample("s1"), *other = sample("s1"), *made = NULL, *now = NULL,
			 *all = NULL, *none = NULL;
	char *paths[] = {(char[]){"labels.a"}, (char[]){"labels.gone"}, (char[]){"extensions.m"},
		(char[]){"extensions.none"}};

	refused(sandboxes_update(f->meta, &in_test, s, NULL, 0, &none), ERR_NOT_FOUND,
		"bucket \"s1\" not found: not found");
	ok(sandboxes_create(f->meta, &in_test, s, &made));
	labels_set(&other->labels, "a=changed", "b.c=ignored", NULL);
	extensions_set(&other->extensions, "m", &(struct any){(char[]){"new"}, NULL, 0});
	other->runtime[0] = 'X';
	ok(sandboxes_update(f->meta, &in_test, other, paths, ARRAY_LEN(paths), &now));
	assert_string_equal(strmap_get(&now->labels, "a"), "changed");
	assert_string_equal(strmap_get(&now->labels, "b.c"), "two");
	assert_string_equal(now->extensions.items[0].value.type_url, "new");
	assert_int_equal(now->runtime[0], 'i');
	refused(sandboxes_update(f->meta, &in_test, other, NULL, 0, &none), ERR_INVALID,
		"sandbox.Runtime.Name field is immutable: invalid argument");
	refused(sandboxes_update(
			f->meta, &in_test, other, (char *[]){(char[]){"sandboxer"}}, 1, &none),
		ERR_INVALID,
		"cannot update \"sandboxer\" field on sandbox \"s1\": invalid argument");
	other->runtime[0] = 'i';
	ok(sandboxes_update(f->meta, &in_test, other, NULL, 0, &all));
	assert_string_equal(strmap_get(&all->labels, "b.c"), "ignored");
	assert_int_equal(timestamp_compare(all->created_at, made->created_at), 0);
	assert_true(timestamp_compare(all->updated_at, made->updated_at) > 0);
}

static size_t count(struct fixture *f, const char *filter)
{
	autoval(sandbox_list) list = {0};
	char *filters[] = {(char *)filter};

	ok(sandboxes_list(f->meta, &in_test, filters, filter ? 1 : 0, &list));
	return list.n;
}

static void test_list(void **state)
{
	static const struct {
		const char *filter;
		size_t n;
	} cases[] = {{NULL, 2}, {"id==s1", 1}, {"id~=^s", 2}, {"labels.a==1", 2},
		{"labels.\"b.c\"==two,id==s2", 1}, {"runtime==io.containerd.runc.v2", 0},
		{"labels.none", 0}};
	struct fixture *f = *state;
	autoptr(sandbox) one = sample("s1"), *two = sample("s2"), *a = NULL, *b = NULL;
	autoval(sandbox_list) list = {0};
	char *bad[] = {(char[]){"id=="}};

	assert_int_equal(count(f, NULL), 0);
	ok(sandboxes_create(f->meta, &in_test, two, &a));
	ok(sandboxes_create(f->meta, &in_test, one, &b));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (count(f, cases[i].filter) != cases[i].n)
			fail_msg("%s", cases[i].filter);
	refused(sandboxes_list(f->meta, &in_test, bad, 1, &list), ERR_INVALID, NULL);
	ok(sandboxes_list(f->meta, &in_test, NULL, 0, &list));
	check_sample(list.items[0], "s1");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create_get_delete),
		TEST(test_bare),
		TEST(test_update),
		TEST(test_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
