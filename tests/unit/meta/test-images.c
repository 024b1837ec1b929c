// SPDX-License-Identifier: Apache-2.0
#include "meta/images.h"

#include "meta/leases.h"
#include "tests/unit/meta/fixture.h"

static const struct timestamp now_please;

static void sample(struct image *i, const char *name)
{
	*i = (struct image){.name = xstrdup(name)};
	i->target.media_type = xstrdup("application/vnd.oci.image.index.v1+json");
	i->target.digest = xstrdup(DIGEST_A);
	i->target.size = 42;
	labels_set(&i->labels, "a=1", "gone=", NULL);
	labels_set(&i->target.annotations, "x=y", NULL);
}

static void test_create_get_delete(void **state)
{
	struct fixture *f = *state;
	autoval(image) i = {0}, made = {0}, got = {0}, dup = {0};
	autoval(strv) seen = STRV_INIT;

	meta_set_observer(f->meta, observe_into, &seen);
	sample(&i, "docker.io/library/busybox:latest");
	ok(images_create(f->meta, &in_test, &i, (struct timestamp){1234, 5}, &made));
	assert_int_equal(made.labels.n, 1);
	ok(images_get(f->meta, &in_test, i.name, &got));
	assert_string_equal(got.target.digest, DIGEST_A);
	assert_string_equal(got.target.media_type, i.target.media_type);
	assert_int_equal(got.target.size, 42);
	assert_string_equal(strmap_get(&got.target.annotations, "x"), "y");
	assert_int_equal(got.created_at.sec, 1234);
	assert_int_equal(got.updated_at.nsec, 5);
	refused(images_create(f->meta, &in_test, &i, now_please, &dup), ERR_EXISTS,
		"image \"docker.io/library/busybox:latest\": already exists");
	refused(images_get(f->meta, &in_other, i.name, &dup), ERR_NOT_FOUND,
		"image \"docker.io/library/busybox:latest\": not found");
	refused(images_delete(f->meta, &in_test, i.name, DIGEST_B), ERR_NOT_FOUND,
		"image \"docker.io/library/busybox:latest\" has target " DIGEST_A ", not " DIGEST_B
		": not found");
	ok(images_delete(f->meta, &in_test, i.name, DIGEST_A));
	refused(images_delete(f->meta, &in_test, i.name, NULL), ERR_NOT_FOUND, NULL);
	assert_int_equal(seen.n, 2);
}

static void test_validation(void **state)
{
	struct fixture *f = *state;
	autoval(image) i = {0}, made = {0};

	sample(&i, "");
	refused(images_create(f->meta, &in_test, &i, now_please, &made), ERR_INVALID,
		"image name must not be empty: invalid argument");
	free(i.name);
	i.name = xstrdup("x");
	i.target.size = 0;
	refused(images_create(f->meta, &in_test, &i, now_please, &made), ERR_INVALID,
		"target.Size must be greater than zero: invalid argument");
	i.target.size = 1;
	i.target.media_type[0] = '\0';
	refused(images_create(f->meta, &in_test, &i, now_please, &made), ERR_INVALID,
		"target.MediaType must be set: invalid argument");
	i.target.digest[0] = 'X';
	refused(images_create(f->meta, &in_test, &i, now_please, &made), ERR_INVALID, NULL);
}

static void test_update(void **state)
{
	struct fixture *f = *state;
	autoval(image) i = {0}, change = {0}, made = {0}, now = {0}, all = {0}, none = {0};
	char *paths[] = {(char[]){"labels.b"}, (char[]){"annotations.x"}};
	char *target[] = {(char[]){"target"}}, *bad[] = {(char[]){"name"}};

	sample(&i, "x");
	sample(&change, "x");
	ok(images_create(f->meta, &in_test, &i, now_please, &made));
	labels_set(&change.labels, "a=2", "b=3", NULL);
	labels_set(&change.target.annotations, "x=", NULL);
	memcpy(change.target.digest, DIGEST_B, strlen(DIGEST_B));
	ok(images_update(f->meta, &in_test, &change, paths, 2, now_please, &now));
	assert_string_equal(strmap_get(&now.labels, "a"), "1");
	assert_string_equal(strmap_get(&now.labels, "b"), "3");
	assert_int_equal(now.target.annotations.n, 0);
	assert_string_equal(now.target.digest, DIGEST_A);
	image_done(&now);
	ok(images_update(f->meta, &in_test, &change, target, 1, now_please, &now));
	assert_string_equal(now.target.digest, DIGEST_B);
	assert_string_equal(strmap_get(&now.labels, "a"), "1");
	ok(images_update(f->meta, &in_test, &change, NULL, 0, (struct timestamp){7, 0}, &all));
	assert_string_equal(strmap_get(&all.labels, "a"), "2");
	assert_int_equal(all.updated_at.sec, 7);
	assert_int_equal(timestamp_compare(all.created_at, made.created_at), 0);
	refused(images_update(f->meta, &in_test, &change, bad, 1, now_please, &none), ERR_INVALID,
		"cannot update \"name\" field on image \"x\": invalid argument");
	change.name[0] = 'y';
	refused(images_update(f->meta, &in_test, &change, NULL, 0, now_please, &none),
		ERR_NOT_FOUND, "image \"y\": not found");
}

static void test_filters(void **state)
{
	static const struct {
		const char *filter;
		size_t n;
	} cases[] = {{"name==a", 1}, {"name~=^[ab]$", 2}, {"target.digest==" DIGEST_A, 2},
		{"target.mediatype~=index", 2}, {"annotations.x==y", 2}, {"labels.a==1", 2},
		{"labels.gone", 0}, {"target", 0}};
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		autoval(image) one = {0}, made = {0};

		sample(&one, i ? "a" : "b");
		ok(images_create(f->meta, &in_test, &one, now_please, &made));
	}
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(image_list) list = {0};

		ok(images_list(f->meta, &in_test, (char *const *)&cases[i].filter, 1, &list));
		if (list.n != cases[i].n)
			fail_msg("%s: %zu", cases[i].filter, list.n);
	}
}

/* A lease holds an image only when that could expire. */
static void test_lease(void **state)
{
	struct fixture *f = *state;
	const struct scope leased = {.ns = "test", .lease = "l"};
	autoval(image) plain = {0}, brief = {0}, made = {0}, made2 = {0};
	autoval(lease) l = {0};
	autoval(lease_resource_list) held = {0};

	ok(leases_create(f->meta, &in_test, "l", &(struct strmap){0}, &l));
	sample(&plain, "plain");
	sample(&brief, "brief");
	labels_set(&brief.labels, "containerd.io/gc.expire=2999-01-01T00:00:00Z", NULL);
	ok(images_create(f->meta, &leased, &plain, now_please, &made));
	ok(images_create(f->meta, &leased, &brief, now_please, &made2));
	ok(leases_list_resources(f->meta, &in_test, "l", &held));
	assert_int_equal(held.n, 1);
	assert_string_equal(held.items[0].id, "brief");
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_create_get_delete),
		T(test_validation),
		T(test_update),
		T(test_filters),
		T(test_lease),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
