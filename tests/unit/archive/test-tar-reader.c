// SPDX-License-Identifier: Apache-2.0
#include "archive/tar-reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "archive/tar-numbers.h"
#include "archive/tar-writer.h"
#include "base/alloc.h"
#include "base/strv.h"
#include "tar-build.h"

/* Hands out memory in pieces of a given size, so that every boundary is crossed somewhere. */
struct source {
	const uint8_t *data;
	size_t len, piece;
};

static struct err *read_source(void *arg, const uint8_t **ret, size_t *ret_len)
{
	struct source *s = arg;
	size_t n = MIN(s->piece, s->len);

	*ret = s->data;
	*ret_len = n;
	s->data += n;
	s->len -= n;
	return NULL;
}

/* The whole archive as text: "name|type|mode|uid:gid|size|mtime|link|data" lines; data with holes as
 * dots. Errors end it with "! message". */
static char *dump(const struct buf *b, size_t len, size_t piece)
{
	struct source source = {b->data, len, piece};
	autoptr(tar_reader) r = tar_reader_new(read_source, &source);
	struct buf out = BUF_INIT((size_t)16 * 1024 * 1024);
	const struct tar_entry *e;
	struct err *error;

	while (!(error = tar_reader_next(r, &e)) && e) {
		size_t n;
		int64_t offset;
		const uint8_t *data;
		autofree char *file = xmalloc((size_t)e->size + 1);

		memset(file, '.', (size_t)e->size);
		file[e->size] = '\0';
		while (!(error = tar_reader_data(r, &data, &n, &offset)) && n)
			memcpy(file + offset, data, n);
		if (error)
			break;
		assert_true(buf_printf(&out, "%s|%d|%o|%d:%d|%d|%d.%d|%s|%s", e->name, (int)e->type,
			(unsigned)e->mode, (int)e->uid, (int)e->gid, (int)e->size,
			(int)e->mtime.sec, e->mtime.nsec, e->link, file));
		for (size_t i = 0; i < e->n_xattrs; i++)
			assert_true(buf_printf(&out, "|%s=%.*s", e->xattrs[i].name,
				(int)e->xattrs[i].len, (const char *)e->xattrs[i].value));
		assert_true(buf_printf(&out, "\n"));
	}
	if (!error)
		error = tar_reader_drain(r);
	if (error)
		assert_true(buf_printf(&out, "! %s", err_message(error)));
	if (error)
		assert_int_equal(err_class(error), ERR_INVALID);
	err_free(error);
	return buf_take(&out, NULL);
}

#define LONG                                                                                       \
	"0123456789012345678901234567890123456789012345678901234567890123456789"                   \
	"0123456789012345678901234567890123456789"

static const struct {
	const char *name;
	struct tar_spec specs[3];
	const char *want;
} cases[] = {
	{"file", {{.name = "a", .data = "hello", .mode = 0755, .uid = 7, .gid = 8, .mtime = 99}},
		"a|0|755|7:8|5|99.0||hello\n"},
	{"two files", {{.name = "a", .data = "x"}, {.name = "b/c", .data = "yz"}},
		"a|0|644|0:0|1|0.0||x\nb/c|0|644|0:0|2|0.0||yz\n"},
	{"directory", {{.name = "d/", .type = '5'}}, "d/|5|755|0:0|0|0.0||\n"},
	{"symlink", {{.name = "l", .type = '2', .link = "/etc"}}, "l|2|644|0:0|0|0.0|/etc|\n"},
	{"hardlink with a size has no data", {{.name = "l", .type = '1', .link = "a", .size = "7"}},
		"l|1|644|0:0|0|0.0|a|\n"},
	{"v7 directory", {{.name = "d/", .type = '\1', .magic = "\0\0\0\0\0\0\0"}},
		"! entry \"d/\": unhandled tar header type 1"},
	{"contiguous", {{.name = "c", .type = '7', .data = "x"}}, "c|0|644|0:0|1|0.0||x\n"},
	{"unknown type", {{.name = "v", .type = 'V'}},
		"! entry \"v\": unhandled tar header type 86"},
	{"pax",
		{{.name = "short",
			.data = "abc",
			.pax = "path=" LONG "\nmtime=12.5\nuid=3000000\ngid=4\nsize=3\ncomment=x"}},
		LONG "|0|644|3000000:4|3|12.500000000||abc\n"},
	{"pax time before 1970", {{.name = "a", .pax = "mtime=-1.25"}},
		"a|0|644|0:0|0|-2.750000000||\n"},
	{"pax empty value takes back", {{.name = "a", .pax = "path=b\npath="}},
		"a|0|644|0:0|0|0.0||\n"},
	{"pax linkpath", {{.name = "a", .type = '2', .pax = "linkpath=/" LONG}},
		"a|2|644|0:0|0|0.0|/" LONG "|\n"},
	{"pax is for one entry", {{.name = "a", .pax = "path=b"}, {.name = "c"}},
		"b|0|644|0:0|0|0.0||\nc|0|644|0:0|0|0.0||\n"},
	{"xattrs", {{.name = "a", .pax = "SCHILY.xattr.user.k=v\nSCHILY.xattr.user.l=w=x"}},
		"a|0|644|0:0|0|0.0|||user.k=v|user.l=w=x\n"},
	{"libarchive xattrs", {{.name = "a", .pax = "LIBARCHIVE.xattr.user.a%3Db=aGVsbG8"}},
		"a|0|644|0:0|0|0.0|||user.a=b=hello\n"},
	{"both kinds of xattr",
		{{.name = "a", .pax = "LIBARCHIVE.xattr.user.k=aGVsbG8\nSCHILY.xattr.user.k=v"}},
		"a|0|644|0:0|0|0.0|||user.k=v\n"},
	{"bad base64", {{.name = "a", .pax = "LIBARCHIVE.xattr.user.k=*"}},
		"! invalid pax record LIBARCHIVE.xattr.user.k"},
	{"bad pax number", {{.name = "a", .pax = "uid=x"}}, "! invalid pax record uid"},
	{"huge pax number", {{.name = "a", .pax = "uid=99999999999999999999"}},
		"! invalid pax record uid"},
	{"negative size", {{.name = "a", .pax = "size=-1"}},
		"! entry \"a\": invalid number in the tar header"},
	{"bad size", {{.name = "a", .size = "9z"}},
		"! entry \"a\": invalid number in the tar header"},
	{"bad checksum", {{.name = "a", .bad_checksum = true}},
		"! invalid tar header at byte 0: wrong checksum"},
	{"sparse 0.1",
		{{.name = "a",
			.data = "abcd",
			.pax = "GNU.sparse.size=10\nGNU.sparse.map=1,2,6,2\nGNU.sparse.name=s"}},
		"s|0|644|0:0|10|0.0||.ab...cd..\n"},
	{"sparse 0.0",
		{{.name = "a",
			.data = "abcd",
			.pax = "GNU.sparse.size=10\nGNU.sparse.numblocks=2\nGNU.sparse.offset=1\n"
			       "GNU.sparse.numbytes=2\nGNU.sparse.offset=6\nGNU.sparse.numbytes="
			       "2"}},
		"a|0|644|0:0|10|0.0||.ab...cd..\n"},
	{"sparse map that overlaps",
		{{.name = "a",
			.data = "abcd",
			.pax = "GNU.sparse.size=10\nGNU.sparse.map=1,2,2,2"}},
		"! entry \"a\": invalid sparse map"},
	{"sparse map beyond the file",
		{{.name = "a", .data = "abcd", .pax = "GNU.sparse.size=3\nGNU.sparse.map=0,4"}},
		"! entry \"a\": invalid sparse map"},
	{"sparse map without the data",
		{{.name = "a", .data = "abcd", .pax = "GNU.sparse.size=10\nGNU.sparse.map=1,2"}},
		"! entry \"a\": invalid sparse map"},
	{"sparse map that overflows",
		{{.name = "a",
			.data = "abcd",
			.pax = "GNU.sparse.size=10\nGNU.sparse.map=9223372036854775807,4"}},
		"! entry \"a\": invalid sparse map"},
	{"unprintable name", {{.name = "a\n\"\xff", .size = "z"}},
		"! entry \"a\\x0a\\x22\\xff\": invalid number in the tar header"},
};

static void test_cases(void **state)
{
	static const size_t pieces[] = {1, 7, 511, 512, 513, 1 << 20};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(buf) b = TAR_BUILD_INIT;

		for (size_t k = 0; k < 3 && cases[i].specs[k].name; k++)
			tar_build_entry(&b, &cases[i].specs[k]);
		tar_build_end(&b);
		for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
			autofree char *got = dump(&b, b.len, pieces[k]);

			if (strcmp(got, cases[i].want) != 0)
				print_error("case %s, pieces of %zu\n", cases[i].name, pieces[k]);
			assert_string_equal(got, cases[i].want);
		}
	}
}

/* A cut anywhere is noticed, but for one between entries: there the archive is just shorter. */
static void test_truncated(void **state)
{
	autoval(buf) b = TAR_BUILD_INIT;
	bool is_boundary[64] = {true};
	char big[1300];
	size_t n;

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	tar_build_entry(&b, &(struct tar_spec){.name = "a", .data = big});
	is_boundary[b.len / 512] = true;
	tar_build_entry(&b, &(struct tar_spec){.name = "b", .data = "yy", .pax = "path=" LONG});
	is_boundary[b.len / 512] = true;
	n = b.len;
	tar_build_end(&b);
	for (size_t len = 0; len < n; len++) {
		autofree char *got = dump(&b, len, 600);
		bool fails = strchr(got, '!') != NULL;

		/* Padding at the very end does not count: no data is lost with it. */
		if (len % 512 == 0)
			assert_int_equal(fails, !is_boundary[len / 512]);
		else if (len < 512 + 1299 || (len > 4 * 512 && len < n - 510))
			assert_true(fails);
		if (fails)
			assert_non_null(strstr(got, "ends early"));
	}
}

static void gnu_header(struct buf *b, char type, const char *name, const char *data, size_t len)
{
	struct tar_spec s = {.name = name, .type = type, .magic = "ustar  "};
	autofree char *size = xasprintf("%011zo", len);

	s.size = size;
	tar_build_entry(b, &s);
	tar_build_bytes(b, data, len);
}

static void test_gnu_long_names(void **state)
{
	autoval(buf) b = TAR_BUILD_INIT;
	autofree char *got = NULL;

	gnu_header(&b, 'L', "././@LongLink", LONG, sizeof(LONG));
	gnu_header(&b, 'K', "././@LongLink", LONG "k", sizeof(LONG "k"));
	tar_build_entry(&b, &(struct tar_spec){.name = "cut", .type = '2', .link = "cut"});
	tar_build_end(&b);
	got = dump(&b, b.len, 100);
	assert_string_equal(got, LONG "|2|644|0:0|0|0.0|" LONG "k|\n");
}

static void test_path_too_long(void **state)
{
	autoval(buf) b = TAR_BUILD_INIT;
	autofree char *name = xcalloc(1, TAR_PATH_MAX + 1);
	autofree char *got = NULL, *fits = NULL;

	memset(name, 'n', TAR_PATH_MAX);
	gnu_header(&b, 'L', "long", name, TAR_PATH_MAX);
	tar_build_entry(&b, &(struct tar_spec){.name = "cut"});
	got = dump(&b, b.len, 100);
	assert_non_null(strstr(got, "path longer than 4095 bytes"));

	buf_reset(&b);
	gnu_header(&b, 'L', "long", name, TAR_PATH_MAX - 1);
	tar_build_entry(&b, &(struct tar_spec){.name = "cut"});
	fits = dump(&b, b.len, 100);
	assert_null(strchr(fits, '!'));
}

static void test_header_bounds(void **state)
{
	autoval(buf) b = TAR_BUILD_INIT;
	autofree char *value = xcalloc(1, TAR_HEADER_MAX);
	autofree char *got = NULL, *many = NULL;
	autoval(buf) records = BUF_INIT(TAR_HEADER_MAX);

	tar_build_pax(&b, "SCHILY.xattr.user.big", value, TAR_HEADER_MAX);
	tar_build_entry(&b, &(struct tar_spec){.name = "a"});
	got = dump(&b, b.len, 1000);
	assert_non_null(strstr(got, "extended header larger than 1 MiB"));

	for (int i = 0; i <= TAR_XATTRS_MAX; i++)
		assert_true(buf_printf(&records, "SCHILY.xattr.user.%d=\n", i));
	buf_reset(&b);
	tar_build_entry(&b, &(struct tar_spec){.name = "a", .pax = buf_str(&records)});
	many = dump(&b, b.len, 1000);
	assert_non_null(strstr(many, "invalid pax record SCHILY.xattr.user.1024"));
}

static void test_xattr_with_nul(void **state)
{
	autoval(buf) b = TAR_BUILD_INIT;
	struct source source;
	const struct tar_entry *e;

	tar_build_pax(&b, "SCHILY.xattr.security.capability", "\1\0\n=\2", 5);
	tar_build_entry(&b, &(struct tar_spec){.name = "a"});
	source = (struct source){b.data, b.len, 100};
	autoptr(tar_reader) r = tar_reader_new(read_source, &source);

	assert_null(tar_reader_next(r, &e));
	assert_int_equal(e->n_xattrs, 1);
	assert_string_equal(e->xattrs[0].name, "security.capability");
	assert_int_equal(e->xattrs[0].len, 5);
	assert_memory_equal(e->xattrs[0].value, "\1\0\n=\2", 5);
}

/* GNU's old format: four extents in the header, more in a block behind it. */
static void test_old_sparse(void **state)
{
	autoval(buf) b = TAR_BUILD_INIT;
	uint8_t h[512] = "sparse", more[512] = {0};
	autofree char *got = NULL;

	memcpy(h + 100, "0000644", 8);
	memcpy(h + 108, "0000000", 8);
	memcpy(h + 116, "0000000", 8);
	memcpy(h + 124, "00000000005", 12);
	memcpy(h + 136, "00000000000", 12);
	h[156] = 'S';
	memcpy(h + 257, "ustar  ", 8);
	for (int i = 0; i < 4; i++) {
		autofree char *offset = xasprintf("%011o", (unsigned)i * 3);

		memcpy(h + 386 + 24 * i, offset, 12);
		memcpy(h + 386 + 24 * i + 12, "00000000001", 12);
	}
	h[482] = 1;
	memcpy(h + 483, "00000000020", 12);
	tar_build_block(&b, h);
	memcpy(more, "00000000014", 12);
	memcpy(more + 12, "00000000001", 12);
	tar_build_bytes(&b, more, 512);
	tar_build_bytes(&b, "abcde", 5);
	tar_build_end(&b);
	got = dump(&b, b.len, 300);
	assert_string_equal(got, "sparse|0|644|0:0|16|0.0||a..b..c..d..e...\n");
}

static void test_new_sparse(void **state)
{
	static const char *const maps[] = {"2\n1\n2\n6\n2\n", "2\n1\n2\n6\n", "x\n", "300000\n",
		"1\n0\n99999999999999999999999999999\n", "-1\n"};

	for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
		autoval(buf) b = TAR_BUILD_INIT;
		char data[512 + 5] = {0};
		struct tar_spec s = {.name = "GNUSparseFile.0/s",
			.size = "00000001004",
			.pax = "GNU.sparse.major=1\nGNU.sparse.minor=0\nGNU.sparse.name=s\n"
			       "GNU.sparse.realsize=10"};
		autofree char *got = NULL;

		memcpy(data, maps[i], strlen(maps[i]));
		memcpy(data + 512, "abcd", 4);
		tar_build_entry(&b, &s);
		tar_build_bytes(&b, data, 516);
		tar_build_end(&b);
		got = dump(&b, b.len, 300);
		if (i == 0)
			assert_string_equal(got, "s|0|644|0:0|10|0.0||.ab...cd..\n");
		else
			assert_string_equal(got, "! entry \"s\": invalid sparse map");
	}
}

static void test_end(void **state)
{
	autoval(buf) b = TAR_BUILD_INIT;
	autofree char *behind = NULL, *one = NULL, *two = NULL;

	/* One block of zeros at the end of the input is an end, too. */
	tar_build_entry(&b, &(struct tar_spec){.name = "a"});
	tar_build_end(&b);
	one = dump(&b, b.len - 512, 100);
	assert_null(strchr(one, '!'));
	tar_build_bytes(&b, "anything", 8);
	two = dump(&b, b.len, 100);
	assert_null(strchr(two, '!'));

	buf_reset(&b);
	tar_build_end(&b);
	tar_build_entry(&b, &(struct tar_spec){.name = "a"});
	behind = dump(&(struct buf){.data = b.data + 512}, b.len - 512, 100);
	assert_non_null(strstr(behind, "data behind the end of the archive"));
}

static const struct {
	const char *field;
	size_t len;
	bool ok;
	int64_t want;
} numbers[] = {
	{"0000644\0", 8, true, 0644},
	{"   644 \0", 8, true, 0644},
	{"\0\0\0\0\0\0\0\0", 8, true, 0},
	{"12345678", 8, false, 0},
	{"00 0", 4, false, 0},
	{"77777777777", 11, true, 077777777777},
	{"\x80\0\0\0\0\0\x01\0", 8, true, 256},
	{"\xff\xff\xff\xff\xff\xff\xff\xfe", 8, true, -2},
	{"\x80\0\0\0\x80\0\0\0\0\0\0\0", 12, false, 0},
	{"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12, true, INT64_MAX},
	{"\x81\0\0\0\0\0\0\0\0\0\0\0", 12, false, 0},
};

static void test_numbers(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		int64_t n = 0;

		assert_int_equal(tar_number(numbers[i].field, numbers[i].len, &n), numbers[i].ok);
		if (numbers[i].ok)
			assert_true(n == numbers[i].want);
	}
}

static struct err *to_buf(void *arg, const void *data, size_t len)
{
	assert_true(buf_append(arg, data, len));
	return NULL;
}

/* What the writer writes, the reader reads: short and long, small and large. */
static void test_writer_round_trip(void **state)
{
	static const uint8_t cap[] = {1, 0, 0, 2};
	struct tar_xattr xattr = {"security.capability", cap, sizeof(cap)};
	const struct tar_entry entries[] = {
		{.type = TAR_FILE,
			.name = "a",
			.link = "",
			.mode = 04755,
			.size = 3,
			.mtime = {.sec = 12}},
		{.type = TAR_DIR,
			.name = LONG "/",
			.link = "",
			.mode = 0700,
			.uid = 4000000,
			.gid = 4294967294},
		{.type = TAR_SYMLINK, .name = "l", .link = LONG LONG, .mode = 0777},
		{.type = TAR_FILE,
			.name = "n\xc3\xa4me",
			.link = "",
			.mtime = {.sec = -5},
			.xattrs = &xattr,
			.n_xattrs = 1},
		{.type = TAR_CHAR_DEVICE, .name = "c", .link = "", .dev_major = 1, .dev_minor = 3},
	};
	autoval(buf) b = TAR_BUILD_INIT;
	autoptr(tar_writer) w = tar_writer_new(to_buf, &b);

	for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
		assert_null(tar_writer_entry(w, &entries[i]));
		if (entries[i].size)
			assert_null(tar_writer_data(w, "xyz", 3));
	}
	assert_null(tar_writer_finish(w));
	assert_int_equal(b.len % 512, 0);

	struct source source = {b.data, b.len, 512};
	autoptr(tar_reader) r = tar_reader_new(read_source, &source);
	const struct tar_entry *e;

	for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
		assert_null(tar_reader_next(r, &e));
		assert_string_equal(e->name, entries[i].name);
		assert_string_equal(e->link, entries[i].link);
		assert_int_equal(e->type, entries[i].type);
		assert_int_equal(e->mode, entries[i].mode);
		assert_int_equal(e->uid, entries[i].uid);
		assert_int_equal(e->gid, entries[i].gid);
		assert_int_equal(e->size, entries[i].size);
		assert_int_equal(e->mtime.sec, entries[i].mtime.sec);
		assert_int_equal(e->dev_minor, entries[i].dev_minor);
		assert_int_equal(e->n_xattrs, entries[i].n_xattrs);
	}
	assert_null(tar_reader_next(r, &e));
	assert_null(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_gnu_long_names),
		cmocka_unit_test(test_path_too_long),
		cmocka_unit_test(test_header_bounds),
		cmocka_unit_test(test_xattr_with_nul),
		cmocka_unit_test(test_old_sparse),
		cmocka_unit_test(test_new_sparse),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_writer_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
