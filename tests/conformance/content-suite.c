// SPDX-License-Identifier: Apache-2.0
/* The contract of src/content/store.h as tests, run over every implementation: `local`, `memory`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/strv.h"
#include "content/store.h"

#define OK(expr)                                                                                   \
	do {                                                                                       \
		autoptr(err) ok_err_ = (expr);                                                     \
		if (ok_err_)                                                                       \
			fail_msg("%s", err_message(ok_err_));                                      \
	} while (0)
#define FAILS(class, text, expr)                                                                   \
	do {                                                                                       \
		autoptr(err) fails_err_ = (expr);                                                  \
		if (!err_is(fails_err_, class) || !strstr(err_message(fails_err_), text))          \
			fail_msg("got %s: %s", err_class_name(err_class(fails_err_)),              \
				err_message(fails_err_));                                          \
	} while (0)

#define HELLO "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define HELLO384                                                                                   \
	"sha384:59e1748777448c69de6b800d7a33bbfb9ff1b463e44354c3553bcdb9c666fa90125a3c79f90397bdf" \
	"5f6a13de828684f"
#define HELLO512                                                                                   \
	"sha512:9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7" \
	"c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043"
#define EMPTY "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static bool is_local;

struct fixture {
	char *root;
	struct content_store *store;
};

static void open_store(struct fixture *f)
{
	if (is_local)
		OK(content_local_open(f->root, &f->store));
	else
		OK(content_memory_open(&f->store));
}

static int set_up(void **state)
{
	struct fixture *f = NEW(struct fixture);
	char root[] = "/tmp/test-content-XXXXXX";

	if (!mkdtemp(root))
		return -1;
	f->root = xstrdup(root);
	open_store(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	content_close(f->store);
	OK(remove_tree(f->root));
	free(f->root);
	free(f);
	return 0;
}

static struct content_store *store_of(void **state)
{
	return ((struct fixture *)*state)->store;
}

static struct content_writer *writer(struct content_store *s, const char *key)
{
	struct content_writer *w = NULL;

	OK(content_writer_open(s, key, 0, &w));
	return w;
}

static void put(struct content_store *s, const char *key, const char *text)
{
	autoptr(content_writer) w = writer(s, key);

	OK(content_write(w, text, strlen(text)));
	OK(content_commit(w, (int64_t)strlen(text), NULL));
}

static void expect_blob(struct content_store *s, const char *digest, const char *want)
{
	autofree char *text = NULL;
	autofd fd = -1;
	int64_t size;
	size_t len;

	OK(content_open_blob(s, digest, &fd, &size));
	OK(fd_read_all(fd, 1 << 20, &text, &len));
	assert_int_equal(len, strlen(want));
	assert_int_equal(size, len);
	assert_memory_equal(text, want, len);
}

static struct err *collect_key(const char *key, void *arg)
{
	strv_add(arg, key);
	return NULL;
}

static struct err *collect_blob(const char *digest, int64_t size, void *arg)
{
	strv_addf(arg, "%s %d", digest, (int)size);
	return NULL;
}

static size_t count_ingests(struct content_store *s)
{
	autoval(strv) keys = STRV_INIT;

	OK(content_walk_ingests(s, collect_key, &keys));
	return keys.n;
}

static void commits_blob(void **state)
{
	struct content_store *s = store_of(state);
	autoptr(content_writer) w = writer(s, "ns/1/layer");
	char digest[DIGEST_MAX];
	int64_t size;
	int fd;

	OK(content_write(w, "hel", 3));
	OK(content_write(w, "", 0));
	FAILS(ERR_NOT_FOUND, "content " HELLO ": not found",
		content_open_blob(s, HELLO, &fd, &size));
	OK(content_write(w, "lo", 2));
	content_writer_digest(w, digest);
	assert_string_equal(digest, HELLO);
	OK(content_commit(w, 5, HELLO));
	expect_blob(s, HELLO, "hello");
	assert_int_equal(count_ingests(s), 0);
	FAILS(ERR_PRECONDITION, "closed", content_write(w, "x", 1));
	FAILS(ERR_PRECONDITION, "closed", content_commit(w, 5, HELLO));
}

static void commits_empty_blob(void **state)
{
	struct content_store *s = store_of(state);
	autoptr(content_writer) w = writer(s, "empty");

	OK(content_commit(w, 0, EMPTY));
	expect_blob(s, EMPTY, "");
}

static void names_blobs_by_other_algorithms(void **state)
{
	static const char *const digests[] = {HELLO384, HELLO512};
	struct content_store *s = store_of(state);

	for (size_t i = 0; i < ARRAY_LEN(digests); i++) {
		autoptr(content_writer) w = writer(s, "k");

		OK(content_write(w, "hello", 5));
		OK(content_commit(w, 5, digests[i]));
		expect_blob(s, digests[i], "hello");
	}
}

static void refuses_wrong_size_and_digest(void **state)
{
	static const struct {
		int64_t size;
		const char *digest, *text;
	} cases[] = {
		{6, NULL, "unexpected commit size 5, expected 6"},
		{4, HELLO, "unexpected commit size 5, expected 4"},
		{5, EMPTY, "unexpected commit digest " HELLO ", expected " EMPTY},
	};
	struct content_store *s = store_of(state);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoptr(content_writer) w = writer(s, "k");
		autoval(ingest_status) status = {0};
		int64_t size;
		int fd;

		OK(content_truncate(w, 0));
		OK(content_write(w, "hello", 5));
		FAILS(ERR_PRECONDITION, cases[i].text,
			content_commit(w, cases[i].size, cases[i].digest));
		FAILS(ERR_NOT_FOUND, "", content_open_blob(s, HELLO, &fd, &size));
		/* The ingest stays, and its key is free. */
		OK(content_status(s, "k", &status));
		assert_int_equal(status.offset, 5);
	}
}

static void refuses_bad_arguments(void **state)
{
	struct content_store *s = store_of(state);
	autoptr(content_writer) w = writer(s, "k");
	struct content_writer *other;
	struct ingest_status status;
	int64_t size;
	int fd;

	FAILS(ERR_INVALID, "", content_open_blob(s, "sha256:../../etc/passwd", &fd, &size));
	FAILS(ERR_INVALID, "", content_remove_blob(s, "x"));
	FAILS(ERR_INVALID, "", content_commit(w, 0, "md5:00"));
	FAILS(ERR_INVALID, "", content_commit(w, -1, NULL));
	FAILS(ERR_INVALID, "", content_truncate(w, -1));
	FAILS(ERR_RANGE, "", content_truncate(w, 1));
	FAILS(ERR_INVALID, "ref must not be empty", content_writer_open(s, "", 0, &other));
	FAILS(ERR_INVALID, "", content_writer_open(s, "k", -1, &other));
	FAILS(ERR_NOT_FOUND, "ingest ref \"no\": not found", content_status(s, "no", &status));
	FAILS(ERR_NOT_FOUND, "ingest ref \"no\": not found", content_abort(s, "no"));
	FAILS(ERR_NOT_FOUND, "not found", content_remove_blob(s, HELLO));
}

static void second_commit_exists(void **state)
{
	struct content_store *s = store_of(state);
	autoptr(content_writer) w = NULL;

	put(s, "a", "hello");
	w = writer(s, "b");
	OK(content_write(w, "hello", 5));
	FAILS(ERR_EXISTS, "content " HELLO ": already exists", content_commit(w, 5, HELLO));
	assert_int_equal(count_ingests(s), 0);
	expect_blob(s, HELLO, "hello");
}

static void one_writer_per_key(void **state)
{
	struct content_store *s = store_of(state);
	autoptr(content_writer) other = writer(s, "other");
	struct content_writer *w = writer(s, "k");
	struct content_writer *second = NULL;

	FAILS(ERR_UNAVAILABLE, "ref k locked", content_writer_open(s, "k", 0, &second));
	content_writer_close(w);
	second = writer(s, "k");
	OK(content_write(second, "x", 1));
	OK(content_commit(second, 1, NULL));
	/* Free after the commit already. */
	w = writer(s, "k");
	content_writer_close(second);
	FAILS(ERR_UNAVAILABLE, "ref k locked", content_writer_open(s, "k", 0, &second));
	content_writer_close(w);
}

static void resumes(void **state)
{
	struct content_store *s = store_of(state);
	struct content_writer *w = NULL;
	autoval(ingest_status) first = {0};
	autoval(ingest_status) later = {0};
	autoval(ingest_status) stored = {0};

	OK(content_writer_open(s, "k", 5, &w));
	OK(content_write(w, "hel", 3));
	content_writer_status(w, &first);
	content_writer_close(w);
	OK(content_status(s, "k", &stored));
	assert_string_equal(stored.key, "k");
	assert_int_equal(stored.offset, 3);
	assert_int_equal(stored.total, 5);
	assert_true(timestamp_compare(stored.started_at, first.started_at) == 0);
	assert_true(timestamp_compare(stored.updated_at, stored.started_at) >= 0);
	w = writer(s, "k");
	content_writer_status(w, &later);
	assert_int_equal(later.offset, 3);
	assert_int_equal(later.total, 5);
	OK(content_write(w, "lo", 2));
	OK(content_commit(w, 5, HELLO));
	content_writer_close(w);
	expect_blob(s, HELLO, "hello");
}

static void another_total_starts_afresh(void **state)
{
	struct content_store *s = store_of(state);
	struct content_writer *w = NULL;
	autoval(ingest_status) status = {0};

	OK(content_writer_open(s, "k", 5, &w));
	OK(content_write(w, "hel", 3));
	content_writer_close(w);
	OK(content_writer_open(s, "k", 6, &w));
	content_writer_status(w, &status);
	assert_int_equal(status.offset, 0);
	assert_int_equal(status.total, 6);
	content_writer_close(w);
}

static void truncates(void **state)
{
	struct content_store *s = store_of(state);
	autoptr(content_writer) w = writer(s, "k");
	autoval(ingest_status) status = {0};

	OK(content_write(w, "help me", 7));
	OK(content_truncate(w, 3));
	content_writer_status(w, &status);
	assert_int_equal(status.offset, 3);
	OK(content_write(w, "lo", 2));
	OK(content_commit(w, 5, HELLO));
	expect_blob(s, HELLO, "hello");
}

static void aborts(void **state)
{
	struct content_store *s = store_of(state);
	struct content_writer *w = writer(s, "k");
	struct ingest_status status;

	OK(content_write(w, "x", 1));
	content_writer_close(w);
	assert_int_equal(count_ingests(s), 1);
	OK(content_abort(s, "k"));
	assert_int_equal(count_ingests(s), 0);
	FAILS(ERR_NOT_FOUND, "", content_status(s, "k", &status));
	/* Also under a writer, whose commit then fails and leaves nothing. */
	w = writer(s, "k");
	OK(content_write(w, "hello", 5));
	OK(content_abort(s, "k"));
	FAILS(ERR_NOT_FOUND, "", content_commit(w, 5, HELLO));
	content_writer_close(w);
	assert_int_equal(count_ingests(s), 0);
	FAILS(ERR_NOT_FOUND, "", content_remove_blob(s, HELLO));
	w = writer(s, "k");
	OK(content_abort(s, "k"));
	content_writer_close(w);
	assert_int_equal(count_ingests(s), 0);
}

static void walks(void **state)
{
	struct content_store *s = store_of(state);
	struct content_writer *a = writer(s, "ns/1/a");
	struct content_writer *b = writer(s, "ns/2/b");
	autoval(strv) keys = STRV_INIT;
	autoval(strv) blobs = STRV_INIT;

	put(s, "1", "hello");
	put(s, "2", "");
	OK(content_walk(s, collect_blob, &blobs));
	strv_sort(&blobs);
	assert_int_equal(blobs.n, 2);
	assert_string_equal(blobs.items[0], HELLO " 5");
	assert_string_equal(blobs.items[1], EMPTY " 0");
	OK(content_walk_ingests(s, collect_key, &keys));
	strv_sort(&keys);
	assert_int_equal(keys.n, 2);
	assert_string_equal(keys.items[0], "ns/1/a");
	assert_string_equal(keys.items[1], "ns/2/b");
	content_writer_close(a);
	content_writer_close(b);
}

static struct err *stop(const char *digest, int64_t size, void *arg)
{
	++*(int *)arg;
	return err_new(ERR_ABORTED, "enough");
}

static void walk_stops_at_an_error(void **state)
{
	struct content_store *s = store_of(state);
	int calls = 0;

	put(s, "1", "hello");
	put(s, "2", "");
	FAILS(ERR_ABORTED, "enough", content_walk(s, stop, &calls));
	assert_int_equal(calls, 1);
}

static void removed_blob_can_still_be_read(void **state)
{
	struct content_store *s = store_of(state);
	autofree char *text = NULL;
	autofd fd = -1;
	int64_t size;

	put(s, "k", "hello");
	OK(content_open_blob(s, HELLO, &fd, &size));
	OK(content_remove_blob(s, HELLO));
	FAILS(ERR_NOT_FOUND, "content " HELLO ": not found", content_remove_blob(s, HELLO));
	OK(fd_read_all(fd, 100, &text, NULL));
	assert_string_equal(text, "hello");
	put(s, "k", "hello");
	expect_blob(s, HELLO, "hello");
}

static void takes_large_blobs(void **state)
{
	struct content_store *s = store_of(state);
	autoptr(content_writer) w = writer(s, "k");
	autoptr(hasher) h = hasher_new();
	size_t chunk_len = (size_t)1 << 20;
	autofree char *chunk = xmalloc(chunk_len);
	char want[DIGEST_MAX];
	int64_t size;
	autofd fd = -1;

	for (int i = 0; i < 20; i++) {
		memset(chunk, 'a' + i, chunk_len);
		hasher_add(h, chunk, chunk_len);
		OK(content_write(w, chunk, chunk_len));
	}
	hasher_digest(h, want);
	OK(content_commit(w, 20 << 20, want));
	OK(content_open_blob(s, want, &fd, &size));
	assert_int_equal(size, 20 << 20);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(commits_blob, set_up, tear_down),
		cmocka_unit_test_setup_teardown(commits_empty_blob, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_blobs_by_other_algorithms, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_wrong_size_and_digest, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_bad_arguments, set_up, tear_down),
		cmocka_unit_test_setup_teardown(second_commit_exists, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_writer_per_key, set_up, tear_down),
		cmocka_unit_test_setup_teardown(resumes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_total_starts_afresh, set_up, tear_down),
		cmocka_unit_test_setup_teardown(truncates, set_up, tear_down),
		cmocka_unit_test_setup_teardown(aborts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(walks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(walk_stops_at_an_error, set_up, tear_down),
		cmocka_unit_test_setup_teardown(removed_blob_can_still_be_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(takes_large_blobs, set_up, tear_down),
	};

	if (argc != 2 || (strcmp(argv[1], "local") != 0 && strcmp(argv[1], "memory") != 0)) {
		fprintf(stderr, "usage: %s local|memory\n", argv[0]);
		return 2;
	}
	is_local = strcmp(argv[1], "local") == 0;
	return cmocka_run_group_tests_name(argv[1], tests, NULL, NULL);
}
