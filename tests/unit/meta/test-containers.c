// SPDX-License-Identifier: Apache-2.0
#include "meta/containers.h"

#include "tests/unit/meta/fixture.h"

static struct container *sample(const char *id)
{
	struct container *c = container_new();

	c->id = xstrdup(id);
	c->image = xstrdup("docker.io/library/busybox:latest");
	c->runtime = xstrdup("io.containerd.runc.v2");
	any_set(&c->runtime_options, "opts", "o\0o", 3);
	any_set(&c->spec, "types.containerd.io/opencontainers/runtime-spec/1/Spec", "{}", 2);
	c->snapshotter = xstrdup("overlayfs");
	c->snapshot_key = xstrdup(id);
	labels_set(&c->labels, "a=1", "b.c=two", "nothing=", NULL);
	extensions_set(
		&c->extensions, "z", &(struct any){(char[]){"tz"}, (uint8_t *)(char[]){"1"}, 1});
	extensions_set(&c->extensions, "m", &(struct any){(char[]){"tm"}, NULL, 0});
	return c;
}

static void check_sample(const struct container *c, const char *id)
{
	assert_string_equal(c->id, id);
	assert_string_equal(c->image, "docker.io/library/busybox:latest");
	assert_string_equal(c->runtime, "io.containerd.runc.v2");
	assert_string_equal(c->runtime_options.type_url, "opts");
	assert_int_equal(c->runtime_options.len, 3);
	assert_memory_equal(c->runtime_options.value, "o\0o", 3);
	assert_int_equal(c->spec.len, 2);
	assert_string_equal(c->snapshotter, "overlayfs");
	assert_string_equal(c->snapshot_key, id);
	assert_string_equal(c->sandbox, "");
	assert_int_equal(c->labels.n, 2);
	assert_string_equal(strmap_get(&c->labels, "b.c"), "two");
	assert_int_equal(c->extensions.n, 2);
	assert_string_equal(c->extensions.items[0].name, "m");
	assert_string_equal(c->extensions.items[0].value.type_url, "tm");
	assert_int_equal(c->extensions.items[0].value.len, 0);
	assert_string_equal(c->extensions.items[1].name, "z");
	assert_memory_equal(c->extensions.items[1].value.value, "1", 1);
	assert_int_equal(timestamp_compare(c->created_at, c->updated_at), 0);
	assert_false(timestamp_is_zero(c->created_at));
}

static void test_create_get_delete(void **state)
{
	struct fixture *f = *state;
	autoptr(container) c = sample("c1"), *made = NULL, *got = NULL, *none = NULL;
	autoval(strv) seen = STRV_INIT;

	meta_set_observer(f->meta, observe_into, &seen);
	ok(containers_create(f->meta, &in_test, c, &made));
	check_sample(made, "c1");
	fixture_reopen(f);
	ok(containers_get(f->meta, &in_test, "c1", &got));
	check_sample(got, "c1");
	refused(containers_create(f->meta, &in_test, c, &none), ERR_EXISTS,
		"container \"c1\": already exists");
	refused(containers_get(f->meta, &in_other, "c1", &none), ERR_NOT_FOUND,
		"container \"c1\" in namespace \"other\": not found");
	ok(containers_delete(f->meta, &in_test, "c1"));
	refused(containers_delete(f->meta, &in_test, "c1"), ERR_NOT_FOUND,
		"container c1: not found");
	assert_int_equal(seen.n, 1); /* the observer went with the first handle */
	assert_string_equal(seen.items[0], "3:test:c1");
}

static void test_validation(void **state)
{
	struct fixture *f = *state;
	autoptr(container) c = container_new(), *none = NULL;

	c->id = xstrdup("");
	refused(containers_create(f->meta, &in_test, c, &none), ERR_INVALID,
		"create container failed validation: container.ID: identifier must not be empty: "
		"invalid argument");
	free(c->id);
	c->id = xstrdup("c1");
	refused(containers_create(f->meta, &in_test, c, &none), ERR_INVALID,
		"create container failed validation: container.Runtime.Name must be set: invalid "
		"argument");
	c->runtime = xstrdup("r");
	refused(containers_create(f->meta, &in_test, c, &none), ERR_INVALID,
		"create container failed validation: container.Spec must be set: invalid argument");
	any_set(&c->spec, "t", "v", 1);
	c->snapshot_key = xstrdup("k");
	refused(containers_create(f->meta, &in_test, c, &none), ERR_INVALID,
		"create container failed validation: container.Snapshotter must be set if "
		"container.SnapshotKey is set: invalid argument");
	c->snapshotter = xstrdup("s");
	extensions_set(&c->extensions, "", &c->spec);
	refused(containers_create(f->meta, &in_test, c, &none), ERR_INVALID,
		"create container failed validation: container.Extension keys must not be "
		"zero-length: invalid argument");
}

static void test_update_without_mask(void **state)
{
	struct fixture *f = *state;
	autoptr(container) c = sample("c1"), *made = NULL, *now = NULL, *none = NULL;

	ok(containers_create(f->meta, &in_test, c, &made));
	any_set(&c->spec, "new", "spec", 4);
	labels_set(&c->labels, "a=", "d=4", NULL);
	c->image[0] = 'D';
	ok(containers_update(f->meta, &in_test, c, NULL, 0, &now));
	assert_string_equal(now->spec.type_url, "new");
	assert_int_equal(now->labels.n, 2);
	assert_string_equal(strmap_get(&now->labels, "d"), "4");
	assert_int_equal(now->image[0], 'D');
	assert_int_equal(timestamp_compare(now->created_at, made->created_at), 0);
	assert_true(timestamp_compare(now->updated_at, made->updated_at) > 0);
	c->snapshotter[0] = 'x';
	refused(containers_update(f->meta, &in_test, c, NULL, 0, &none), ERR_INVALID,
		"container.Snapshotter field is immutable: invalid argument");
	c->snapshotter[0] = 'o';
	c->runtime[0] = 'x';
	refused(containers_update(f->meta, &in_test, c, NULL, 0, &none), ERR_INVALID,
		"container.Runtime.Name field is immutable: invalid argument");
}

static void test_update_with_mask(void **state)
{
	struct fixture *f = *state;
	autoptr(container) c = sample("c1"), *other = sample("c1"), *made = NULL, *now = NULL,
			   *none = NULL;
	char *paths[] = {(char[]){"labels.a"}, (char[]){"labels.gone"}, (char[]){"extensions.m"},
		(char[]){"extensions.none"}, (char[]){"snapshotkey"}};

	ok(containers_create(f->meta, &in_test, c, &made));
	labels_set(&other->labels, "a=changed", "b.c=ignored", NULL);
	extensions_set(&other->extensions, "m",
		&(struct any){(char[]){"new"}, (uint8_t *)(char[]){"xy"}, 2});
	other->image[0] = 'X';
	other->snapshot_key[0] = 'k';
	ok(containers_update(f->meta, &in_test, other, paths, ARRAY_LEN(paths), &now));
	assert_int_equal(now->labels.n, 2);
	assert_string_equal(strmap_get(&now->labels, "a"), "changed");
	assert_string_equal(strmap_get(&now->labels, "b.c"), "two");
	assert_int_equal(now->extensions.n, 2);
	assert_string_equal(now->extensions.items[0].value.type_url, "new");
	assert_int_equal(now->image[0], 'd');
	assert_string_equal(now->snapshot_key, "k1");
	refused(containers_update(
			f->meta, &in_test, other, (char *[]){(char[]){"runtime"}}, 1, &none),
		ERR_INVALID, "cannot update \"runtime\" field on \"c1\": invalid argument");
	free(other->id);
	other->id = xstrdup("c2");
	refused(containers_update(f->meta, &in_test, other, NULL, 0, &none), ERR_NOT_FOUND,
		"container \"c2\": not found");
	other->id[0] = '\0';
	refused(containers_update(f->meta, &in_test, other, NULL, 0, &none), ERR_INVALID,
		"must specify a container id: invalid argument");
}

static void test_list_and_filters(void **state)
{
	static const struct {
		const char *filter;
		size_t n;
	} cases[] = {{"id==c1", 1}, {"id~=^c[12]$", 2}, {"labels.\"b.c\"==two", 3},
		{"labels.b.c==two", 3}, {"labels.nothing", 0}, {"image~=busybox", 3},
		{"runtime.name==io.containerd.runc.v2", 3}, {"runtime", 0}, {"bogus", 0}};
	struct fixture *f = *state;
	autoval(container_list) none = {0};

	for (int i = 3; i >= 1; i--) {
		autofree char *id = xasprintf("c%d", i);
		autoptr(container) c = sample(id), *made = NULL;

		ok(containers_create(f->meta, &in_test, c, &made));
	}
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(container_list) list = {0};

		ok(containers_list(f->meta, &in_test, (char *const *)&cases[i].filter, 1, &list));
		if (list.n != cases[i].n)
			fail_msg("%s: %zu", cases[i].filter, list.n);
		for (size_t k = 0; k < list.n; k++) {
			autofree char *id = xasprintf("c%zu", k + 1);

			check_sample(list.items[k], id);
		}
	}
	ok(containers_list(f->meta, &in_other, NULL, 0, &none));
	assert_int_equal(none.n, 0);
	refused(containers_list(f->meta, &in_test, (char *[]){(char[]){"a="}}, 1, &none),
		ERR_INVALID,
		"filters: parse error: [a >|=|< ]: unsupported operator \"=\": invalid argument: "
		"invalid argument");
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_create_get_delete),
		T(test_validation),
		T(test_update_without_mask),
		T(test_update_with_mask),
		T(test_list_and_filters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
