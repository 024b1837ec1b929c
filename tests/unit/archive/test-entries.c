// SPDX-License-Identifier: Apache-2.0
/* Entries of archives, read here or as frames from elsewhere. */
#include "archive/entries.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "tar-build.h"

/* What a visitor has seen, as text. */
static struct err *note_file(void *arg, const char *name, int64_t size)
{
	assert_true(buf_printf(arg, "file %s %lld:", name, (long long)size));
	return NULL;
}

static struct err *note_data(void *arg, const void *data, size_t len)
{
	assert_true(buf_append(arg, data, len));
	return NULL;
}

static struct err *note_end(void *arg)
{
	assert_true(buf_printf(arg, "\n"));
	return NULL;
}

static struct err *note_link(void *arg, const char *name, const char *target, bool is_symlink)
{
	assert_true(
		buf_printf(arg, "%s %s -> %s\n", is_symlink ? "symlink" : "link", name, target));
	return NULL;
}

static const struct entry_visitor notes = {note_file, note_data, note_end, note_link};

struct input {
	const uint8_t *data;
	size_t len;
};

/* In small pieces. */
static ssize_t read_input(void *arg, void *data, size_t len)
{
	struct input *i = arg;
	size_t n = MIN(MIN(i->len, len), (size_t)97);

	memcpy(data, i->data, n);
	i->data += n;
	i->len -= n;
	return (ssize_t)n;
}

static struct err *read_directly(const struct buf *archive, struct buf *ret)
{
	struct input i = {archive->data, archive->len};

	return entries_read(read_input, &i, &notes, ret);
}

static void make_frames(const struct buf *archive, struct buf *ret)
{
	struct input i = {archive->data, archive->len};
	autofd fd = memfd_create("frames", MFD_CLOEXEC);
	off_t size;

	err_free(entries_send(read_input, &i, fd));
	size = lseek(fd, 0, SEEK_CUR);
	assert_true(buf_reserve(ret, (size_t)size));
	assert_int_equal(pread(fd, ret->data, (size_t)size, 0), size);
	ret->len = (size_t)size;
}

static struct err *receive(const void *frames, size_t len, struct buf *ret)
{
	struct input i = {frames, len};

	return entries_receive(read_input, &i, &notes, ret);
}

static void make_archive(struct buf *b)
{
	const struct tar_spec entries[] = {
		{.name = "dir/", .type = '5'},
		{.name = "dir/a", .data = "hello"},
		{.name = "empty", .data = ""},
		{.name = "s", .type = '2', .link = "dir/a"},
		{.name = "h", .type = '1', .link = "dir/a"},
		{.name = "pipe", .type = '6'},
		{.name = "last", .data = "bye"},
	};

	for (size_t i = 0; i < ARRAY_LEN(entries); i++)
		tar_build_entry(b, &entries[i]);
	tar_build_end(b);
}

static void test_both_ways(void **state)
{
	static const char expected[] = "file dir/a 5:hello\nfile empty 0:\nsymlink s -> dir/a\n"
				       "link h -> dir/a\nfile last 3:bye\n";
	autoval(buf) archive = TAR_BUILD_INIT;
	autoval(buf) frames = BUF_INIT(1 << 20);
	autoval(buf) direct = BUF_INIT(1 << 20);
	autoval(buf) framed = BUF_INIT(1 << 20);

	make_archive(&archive);
	assert_null(read_directly(&archive, &direct));
	assert_string_equal(buf_str(&direct), expected);
	make_frames(&archive, &frames);
	assert_null(receive(frames.data, frames.len, &framed));
	assert_string_equal(buf_str(&framed), expected);
}

/* What went wrong in the reader is what the receiver says. */
static void test_errors_cross(void **state)
{
	autoval(buf) archive = TAR_BUILD_INIT;
	autoval(buf) frames = BUF_INIT(1 << 20);
	autoval(buf) seen = BUF_INIT(1 << 20);
	autoval(buf) direct = BUF_INIT(1 << 20);
	autoptr(err) here = NULL;
	autoptr(err) there = NULL;

	make_archive(&archive);
	archive.len = 512 + 512 + 3;
	here = read_directly(&archive, &direct);
	make_frames(&archive, &frames);
	there = receive(frames.data, frames.len, &seen);
	assert_true(err_is(there, ERR_INVALID));
	assert_non_null(strstr(err_message(there), "dir/a"));
	assert_string_equal(err_message(there), err_message(here));
}

/* Wherever the frames break off, it is an error, and never a file's end that was not there. */
static void test_cut_frames(void **state)
{
	autoval(buf) archive = TAR_BUILD_INIT;
	autoval(buf) frames = BUF_INIT(1 << 20);

	make_archive(&archive);
	make_frames(&archive, &frames);
	for (size_t len = 0; len < frames.len; len++) {
		autoval(buf) seen = BUF_INIT(1 << 20);
		autoptr(err) e = receive(frames.data, len, &seen);

		assert_true(err_is(e, ERR_INTERNAL));
	}
}

#define FRAME(text) {text, sizeof(text) - 1}

static void test_wrong_frames(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		FRAME("?\0\0\0\0"),					 /* no such kind */
		FRAME("d\1\0\0\0x"),					 /* data of no file */
		FRAME("f\3\0\0\0abc"),					 /* no size */
		FRAME("f\11\0\0\0\377\377\377\377\377\377\377\377n"),	 /* negative size */
		FRAME("f\11\0\0\0\1\0\0\0\0\0\0\0nd\2\0\0\0xx"),	 /* more than the size */
		FRAME("f\11\0\0\0\2\0\0\0\0\0\0\0nd\1\0\0\0xe\0\0\0\0"), /* less than it */
		FRAME("f\11\0\0\0\2\0\0\0\0\0\0\0nd\0\0\0\0"),		 /* no data */
		FRAME("s\4\0\0\0name"),					 /* a link to nothing */
		FRAME("d\377\377\377\377"), /* longer than frames are */
		FRAME("x\0\0\0\0"),	    /* an error without class */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(buf) seen = BUF_INIT(1 << 20);
		autoptr(err) e = receive(cases[i].bytes, cases[i].len, &seen);

		if (!err_is(e, ERR_INTERNAL))
			fail_msg("case %zu: %s", i, err_message(e));
		assert_null(strchr(buf_str(&seen), '\n'));
	}
}

static void test_too_many(void **state)
{
	autoval(buf) archive = TAR_BUILD_INIT;
	autoval(buf) seen = BUF_INIT(64 << 20);
	autoptr(err) e = NULL;

	for (size_t i = 0; i <= ENTRIES_MAX; i++)
		tar_build_entry(&archive, &(struct tar_spec){.name = "x", .data = ""});
	tar_build_end(&archive);
	e = read_directly(&archive, &seen);
	assert_true(err_is(e, ERR_EXHAUSTED));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_errors_cross),
		cmocka_unit_test(test_cut_frames),
		cmocka_unit_test(test_wrong_frames),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
