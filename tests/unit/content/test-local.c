// SPDX-License-Identifier: Apache-2.0
/* What only the store on disk promises: containerd's layout, and coming back from a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
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

#define HELLO_HEX "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define HELLO "sha256:" HELLO_HEX
/* sha256 of "k" */
#define K_DIR "ingest/8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a"

static char *root;

static int set_up(void **state)
{
	char path[] = "/tmp/test-local-XXXXXX";

	umask(022);
	if (!mkdtemp(path))
		return -1;
	root = xstrdup(path);
	return 0;
}

static int tear_down(void **state)
{
	OK(remove_tree(root));
	free(root);
	return 0;
}

static bool exists(const char *name)
{
	autofree char *path = path_join(root, name);
	struct stat st;

	return lstat(path, &st) == 0;
}

static char *text_of(const char *name)
{
	autofree char *path = path_join(root, name);
	char *text = NULL;

	OK(file_read(path, 1000, &text, NULL));
	return text;
}

static void put_file(const char *name, const char *text)
{
	autofree char *path = path_join(root, name);
	autofree char *dir = path_dir(path);

	OK(mkdir_p(dir, 0755));
	OK(file_write_atomic(path, text, strlen(text), 0644, false));
}

static struct content_store *open_store(void)
{
	struct content_store *s = NULL;

	OK(content_local_open(root, &s));
	return s;
}

static void keeps_containerds_layout(void **state)
{
	autoptr(content_store) s = open_store();
	struct content_writer *w = NULL;
	autofree char *blob = path_join(root, "blobs/sha256/" HELLO_HEX);
	autofree char *total = NULL;
	autofree char *ref = NULL;
	autofree char *started = NULL;
	autofree char *updated = NULL;
	autofree char *data = NULL;
	struct timestamp t;
	struct stat st;

	OK(content_writer_open(s, "k", 5, &w));
	OK(content_write(w, "hello", 5));
	ref = text_of(K_DIR "/ref");
	total = text_of(K_DIR "/total");
	started = text_of(K_DIR "/startedat");
	updated = text_of(K_DIR "/updatedat");
	data = text_of(K_DIR "/data");
	assert_string_equal(ref, "k");
	assert_string_equal(total, "5");
	assert_string_equal(data, "hello");
	OK(timestamp_parse(started, &t));
	OK(timestamp_parse(updated, &t));
	OK(content_commit(w, 5, HELLO));
	content_writer_close(w);
	assert_false(exists(K_DIR));
	assert_int_equal(stat(blob, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0444);
	assert_int_equal(st.st_size, 5);
	assert_true(timestamp_now().sec - st.st_mtim.tv_sec < 60);
}

static void resumes_after_a_restart(void **state)
{
	struct content_store *s = open_store();
	struct content_writer *w = NULL;
	autoval(ingest_status) status = {0};
	autofree char *data = path_join(root, K_DIR "/data");
	autofd fd = -1;

	OK(content_writer_open(s, "k", 0, &w));
	OK(content_write(w, "he", 2));
	content_writer_close(w);
	content_close(s);
	/* More had reached the disk than anybody was told. */
	fd = open(data, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(write(fd, "l", 1), 1);
	s = open_store();
	OK(content_writer_open(s, "k", 0, &w));
	content_writer_status(w, &status);
	assert_int_equal(status.offset, 3);
	OK(content_write(w, "lo", 2));
	OK(content_commit(w, 5, HELLO));
	content_writer_close(w);
	content_close(s);
}

static void reads_ingests_of_containerd(void **state)
{
	autoptr(content_store) s = NULL;
	autoval(ingest_status) status = {0};

	put_file(K_DIR "/ref", "k");
	put_file(K_DIR "/startedat", "2024-05-06T07:08:09.123456789+02:00");
	put_file(K_DIR "/updatedat", "2024-05-06T07:08:10.5+02:00");
	put_file(K_DIR "/total", "77");
	put_file(K_DIR "/data", "abc");
	s = open_store();
	OK(content_status(s, "k", &status));
	assert_int_equal(status.total, 77);
	assert_int_equal(status.offset, 3);
	assert_int_equal(status.started_at.sec, 1714972089);
	assert_int_equal(status.started_at.nsec, 123456789);
}

static void sweeps_half_made_ingests(void **state)
{
	autoptr(content_store) s = NULL;

	put_file("ingest/aaaa/startedat", "x");
	put_file("ingest/bbbb/ref", "lost");
	put_file("ingest/bbbb/startedat", "x");
	put_file(K_DIR "/ref", "k");
	put_file(K_DIR "/data", "abc");
	s = open_store();
	assert_false(exists("ingest/aaaa"));
	assert_false(exists("ingest/bbbb"));
	assert_true(exists(K_DIR));
}

static void survives_broken_ingests(void **state)
{
	autoptr(content_store) s = open_store();
	struct content_writer *w = NULL;
	autoval(ingest_status) status = {0};

	put_file(K_DIR "/ref", "another key");
	put_file(K_DIR "/total", "-1e9");
	put_file(K_DIR "/startedat", "yesterday");
	put_file(K_DIR "/data", "abc");
	OK(content_writer_open(s, "k", 0, &w));
	content_writer_status(w, &status);
	assert_int_equal(status.offset, 0);
	assert_int_equal(status.total, 0);
	content_writer_close(w);
}

static void replaces_a_wreck(void **state)
{
	autoptr(content_store) s = open_store();
	struct content_writer *w = NULL;
	autofree char *text = NULL;

	put_file("blobs/sha256/" HELLO_HEX, "he");
	OK(content_writer_open(s, "k", 0, &w));
	OK(content_write(w, "hello", 5));
	OK(content_commit(w, 5, HELLO));
	content_writer_close(w);
	text = text_of("blobs/sha256/" HELLO_HEX);
	assert_string_equal(text, "hello");
}

static struct err *count(const char *digest, int64_t size, void *arg)
{
	assert_string_equal(digest, HELLO);
	++*(int *)arg;
	return NULL;
}

static void walk_skips_strangers(void **state)
{
	autoptr(content_store) s = open_store();
	int n = 0;

	put_file("blobs/sha256/" HELLO_HEX, "hello");
	put_file("blobs/sha256/README", "x");
	put_file("blobs/sha256/" HELLO_HEX ".tmp", "x");
	put_file("blobs/md5/d41d8cd98f00b204e9800998ecf8427e", "x");
	OK(content_walk(s, count, &n));
	assert_int_equal(n, 1);
}

static void follows_no_links(void **state)
{
	autoptr(content_store) s = open_store();
	autofree char *blob = path_join(root, "blobs/sha256/" HELLO_HEX);
	autoptr(err) e = NULL;
	int64_t size;
	int fd;

	assert_int_equal(symlink("/etc/passwd", blob), 0);
	e = content_open_blob(s, HELLO, &fd, &size);
	assert_non_null(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keeps_containerds_layout, set_up, tear_down),
		cmocka_unit_test_setup_teardown(resumes_after_a_restart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reads_ingests_of_containerd, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sweeps_half_made_ingests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(survives_broken_ingests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(replaces_a_wreck, set_up, tear_down),
		cmocka_unit_test_setup_teardown(walk_skips_strangers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(follows_no_links, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
