// SPDX-License-Identifier: Apache-2.0
/* Rows of blobs and ingests; with files: tests/unit/namespaced. */
#include "meta/blobs.h"

#include "tests/unit/meta/fixture.h"

static struct strmap none;

static void commit(
	struct meta *m, const struct scope *s, const char *digest, const struct strmap *labels)
{
	autoval(ingest_row) row = {0};

	ok(ingests_open(m, s, "ref", NULL, false, &row));
	ok(ingests_commit(m, s, "ref", digest, 3, labels));
}

static void test_rows_of_blobs(void **state)
{
	struct fixture *f = *state;
	autoval(strmap) labels = STRMAP_INIT;
	autoval(blob_info) info = {0}, updated = {0};
	autoval(blob_list) list = {0};
	char *filter = (char[]){"digest~=^sha256:b"}, *path = (char[]){"labels.a"},
	     *bad = (char[]){"size"};
	bool known;
	int64_t size;

	commit(f->meta, &in_test, DIGEST_A, &none);
	commit(f->meta, &in_test, DIGEST_B, &none);
	ok(blobs_known(f->meta, DIGEST_A, &known, &size));
	assert_true(known);
	assert_int_equal(size, 3);
	ok(blobs_list(f->meta, &in_test, &filter, 1, &list));
	assert_int_equal(list.n, 1);
	labels_set(&labels, "a=1", "b=2", NULL);
	ok(blobs_update(f->meta, &in_test, DIGEST_A, &labels, &path, 1, &updated));
	assert_int_equal(updated.labels.n, 1);
	refused(blobs_update(f->meta, &in_test, DIGEST_A, &labels, &bad, 1, &info), ERR_INVALID,
		"cannot update \"size\" field on content info \"" DIGEST_A "\": invalid argument");
	ok(blobs_get(f->meta, &in_test, DIGEST_A, &info));
	assert_string_equal(strmap_get(&info.labels, "a"), "1");
	ok(blobs_delete(f->meta, &in_test, DIGEST_A));
	refused(blobs_delete(f->meta, &in_test, DIGEST_A), ERR_NOT_FOUND,
		"content digest " DIGEST_A ": not found");
	ok(blobs_known(f->meta, DIGEST_A, &known, &size));
	assert_false(known);
}

static void test_ingests(void **state)
{
	struct fixture *f = *state;
	autoval(ingest_row) a = {0}, again = {0}, fresh = {0}, none_such = {0};
	bool known;

	refused(ingests_open(f->meta, &in_test, "", NULL, false, &a), ERR_INVALID,
		"ref must not be empty: invalid argument");
	ok(ingests_open(f->meta, &in_test, "layer-sha256:x/y", NULL, false, &a));
	assert_true(str_starts(a.key, "test/"));
	assert_true(str_ends(a.key, "/layer-sha256:x/y"));
	ok(ingests_open(f->meta, &in_test, "layer-sha256:x/y", NULL, false, &again));
	assert_string_equal(a.key, again.key);
	ok(ingests_known(f->meta, a.key, &known));
	assert_true(known);
	ok(ingests_delete(f->meta, &in_test, "layer-sha256:x/y"));
	refused(ingests_get(f->meta, &in_test, "layer-sha256:x/y", &none_such), ERR_NOT_FOUND,
		"reference layer-sha256:x/y: not found");
	ok(ingests_known(f->meta, a.key, &known));
	assert_false(known);
	/* A key is never used again. */
	ok(ingests_open(f->meta, &in_test, "layer-sha256:x/y", NULL, false, &fresh));
	assert_string_not_equal(a.key, fresh.key);
	ok(ingests_known(f->meta, "nonsense", &known));
	assert_false(known);
	ok(ingests_known(f->meta, "test/99999999999999999999/r", &known));
	assert_false(known);
}

static void test_commit_of_what_is_there(void **state)
{
	struct fixture *f = *state;
	autoval(ingest_row) row = {0}, gone = {0};

	commit(f->meta, &in_test, DIGEST_A, &none);
	ok(ingests_open(f->meta, &in_test, "second", NULL, false, &row));
	refused(ingests_commit(f->meta, &in_test, "second", DIGEST_A, 3, &none), ERR_EXISTS,
		"content " DIGEST_A ": already exists");
	refused(ingests_get(f->meta, &in_test, "second", &gone), ERR_NOT_FOUND, NULL);
}

static struct err *count(const char *digest, void *arg)
{
	++*(int *)arg;
	return NULL;
}

static void test_sweep(void **state)
{
	struct fixture *f = *state;
	autoval(ingest_row) row = {0};
	autoval(strv) digests = STRV_INIT, keys = STRV_INIT;
	bool removed;
	int n = 0;

	commit(f->meta, &in_test, DIGEST_A, &none);
	commit(f->meta, &in_other, DIGEST_A, &none);
	ok(ingests_open(f->meta, &in_test, "r", DIGEST_B, true, &row));
	ok(blobs_sweep(f->meta, DIGEST_A, count, &n, &removed));
	ok(blobs_sweep(f->meta, DIGEST_B, count, &n, &removed));
	assert_false(removed);
	ok(blobs_delete(f->meta, &in_test, DIGEST_A));
	ok(blobs_sweep(f->meta, DIGEST_A, count, &n, &removed));
	assert_int_equal(n, 0);
	ok(blobs_delete(f->meta, &in_other, DIGEST_A));
	blobs_pin(f->meta, DIGEST_A);
	blobs_pin(f->meta, DIGEST_A);
	blobs_unpin(f->meta, DIGEST_A);
	ok(blobs_sweep(f->meta, DIGEST_A, count, &n, &removed));
	assert_int_equal(n, 0);
	blobs_unpin(f->meta, DIGEST_A);
	ok(blobs_sweep(f->meta, DIGEST_A, count, &n, &removed));
	assert_true(removed);
	assert_int_equal(n, 1);
	blobs_take_removed(f->meta, &digests, &keys);
	assert_int_equal(digests.n, 2);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_rows_of_blobs),
		T(test_ingests),
		T(test_commit_of_what_is_there),
		T(test_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
