// SPDX-License-Identifier: Apache-2.0
/* Needs root: owners, devices and trusted xattrs are set. */
#include "archive/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive/tree.h"
#include "base/alloc.h"
#include "base/strv.h"
#include "tar-build.h"
#include "tree-check.h"

static struct err *whole(void *arg, const uint8_t **ret, size_t *ret_len)
{
	struct buf *b = arg;

	*ret = b->data;
	*ret_len = b->len;
	b->len = 0;
	return NULL;
}

static const struct apply_options defaults = {.max_bytes = 1 << 20, .max_entries = 1000};

static struct err *apply_buf(
	const char *root, const struct buf *archive, const struct apply_options *options)
{
	struct buf view = *archive;
	struct apply_options o = *options;
	autoptr(tar_reader) r = tar_reader_new(whole, &view);
	autofd fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autofd here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err *e;

	o.root_fd = fd;
	e = apply_archive(r, &o);
	assert_int_equal(fchdir(here), 0);
	return e;
}

static struct err *apply_specs(const char *root, const struct tar_spec *specs, size_t max,
	const struct apply_options *options)
{
	autoval(buf) b = TAR_BUILD_INIT;

	for (size_t i = 0; i < max && specs[i].name; i++)
		tar_build_entry(&b, &specs[i]);
	tar_build_end(&b);
	return apply_buf(root, &b, options);
}

#define F(path, text) {.name = path, .data = text}
#define D(path) {.name = path, .type = '5'}
#define L(path, to) {.name = path, .type = '2', .link = to}
#define H(path, to) {.name = path, .type = '1', .link = to}

struct apply_case {
	const char *name;
	const char *before; /* lines of tree_make */
	struct tar_spec specs[8];
	const char *want; /* lines of tree_describe, or "! text" that the error has in it */
};

static const struct apply_case cases[] = {
	{"plain", "", {{.name = "./"}, D("d/"), F("d/f", "x"), F("./g", "y"), F("/h", "z")},
		"d d 755\nf d/f 644 x\nf g 644 y\nf h 644 z\n"},
	{"parents are made", "", {F("a/b/c", "x")}, "d a 755\nd a/b 755\nf a/b/c 644 x\n"},
	{"modes", "",
		{{.name = "s", .mode = 06755, .data = ""},
			{.name = "t", .type = '5', .mode = 01777},
			{.name = "g", .type = '5', .mode = 02750}, {.name = "n", .mode = 0100}},
		"d g 2750\nf n 100 \nf s 6755 \nd t 1777\n"},
	{"set-gid directories hand nothing down", "d g 2777",
		{F("g/f", "x"), D("g/d"), F("g/made/f", "y")},
		"d g 2777\nd g/d 755\nf g/f 644 x\nd g/made 755\nf g/made/f 644 y\n"},
	{"files are replaced", "f a 600 old\nd b 700\nf b/x 600 old\nl c a",
		{F("a", "1"), F("b", "2"), F("c", "3")}, "f a 644 1\nf b 644 2\nf c 644 3\n"},
	{"directories are merged", "d d 700\nf d/kept 600 k", {D("d"), F("d/new", "n")},
		"d d 755\nf d/kept 600 k\nf d/new 644 n\n"},
	{"a directory replaces a file", "f d 600 x", {D("d"), F("d/f", "y")},
		"d d 755\nf d/f 644 y\n"},
	{"an earlier hard link is not written through", "f a 600 old\nh b a", {F("a", "new")},
		"f a 644 new\nf b 600 old\n"},
	{"nodes", "",
		{{.name = "c", .type = '3', .dev_major = 1, .dev_minor = 3},
			{.name = "b", .type = '4', .dev_major = 7, .dev_minor = 9},
			{.name = "p", .type = '6', .mode = 0620}},
		"b b 7 9\nc c 1 3\np p 620\n"},
	{"global header is skipped", "", {{.name = "g", .type = 'g', .data = ""}, F("a", "x")},
		"f a 644 x\n"},
	{"sparse", "",
		{{.name = "s", .data = "ab", .pax = "GNU.sparse.size=2\nGNU.sparse.map=0,2"}},
		"f s 644 ab\n"},

	/* Whiteouts. */
	{"whiteout", "d d 755\nf d/a 644 x\nf d/b 644 y", {F("d/.wh.a", "")},
		"d d 755\nf d/b 644 y\n"},
	{"whiteout of a directory", "d d 755\nd d/a 755\nf d/a/b 644 y", {F("d/.wh.a", "")},
		"d d 755\n"},
	{"whiteout of nothing", "d d 755", {F("d/.wh.a", "")}, "d d 755\n"},
	{"opaque", "d d 755\nf d/a 644 x\nd d/b 755\nf d/b/c 644 y",
		{D("d"), F("d/.wh..wh..opq", ""), F("d/n", "n")}, "d d 755\nf d/n 644 n\n"},
	{"opaque behind the new files", "d d 755\nf d/a 644 x\nd d/b 755\nf d/b/c 644 y",
		{D("d"), F("d/n", "n"), D("d/b"), F("d/b/m", "m"), F("d/.wh..wh..opq", "")},
		"d d 755\nd d/b 755\nf d/b/m 644 m\nf d/n 644 n\n"},
	{"opaque root", "f a 644 x\nd b 755", {F(".wh..wh..opq", ""), F("n", "n")}, "f n 644 n\n"},
	{"whiteout through a symlinked parent", "d etc 755\nf etc/a 644 x\nl l /etc",
		{F("l/.wh.a", "")}, "d etc 755\nl l /etc\n"},
	{"whiteout of a symlink", "d etc 755\nf etc/a 644 x\nl l /etc", {F(".wh.l", "")},
		"d etc 755\nf etc/a 644 x\n"},
	{"whiteout behind dots", "d etc 755\nf etc/a 644 x", {F("dne/../.wh.etc", "")}, ""},
	{"whiteout below a dead symlink", "d etc 755\nf etc/a 644 x\nl l /dne",
		{F("l/.wh.etc", "")}, "d dne 755\nd etc 755\nf etc/a 644 x\nl l /dne\n"},
	{"a directory called like a whiteout", "d etc 755", {F(".wh.etc/f", "x")},
		"d .wh.etc 755\nf .wh.etc/f 644 x\nd etc 755\n"},
	{"whiteout of the parent", "d etc 755", {F("etc/.wh...", "")},
		"! entry \"etc/.wh...\": invalid whiteout name: .wh...: invalid archive"},
	{"whiteout of itself", "d etc 755", {F("etc/.wh..", "")}, "! invalid whiteout name"},
	{"whiteout of no name", "d etc 755", {F("etc/.wh.", "")}, "! invalid whiteout name"},
	{"whiteout of the root's parent", "d etc 755", {F(".wh...", "")}, "! invalid whiteout"},

	/* Names that lead elsewhere. */
	{"parent is an absolute symlink", "d etc 755\nl l /etc", {F("l/f", "x")},
		"d etc 755\nf etc/f 644 x\nl l /etc\n"},
	{"parent is a symlink up and out", "d etc 755\nl l ../../../../etc", {F("l/f", "x")},
		"d etc 755\nf etc/f 644 x\nl l ../../../../etc\n"},
	{"parent is a symlink to the root", "l l /", {F("l/tmp/f", "x")},
		"l l /\nd tmp 755\nf tmp/f 644 x\n"},
	{"parent is a dead symlink", "l l /a/../b/c", {F("l/f", "x")},
		"d b 755\nd b/c 755\nf b/c/f 644 x\nl l /a/../b/c\n"},
	{"parent is a loop", "l a b\nl b a", {F("a/f", "x")}, "! entry \"a/f\": "},
	{"parent is a file", "f a 644 x", {F("a/f", "x")}, "! entry \"a/f\": "},
	{"symlink, then a file under it", "", {L("l", "/"), F("l/tmp/f", "x")},
		"l l /\nd tmp 755\nf tmp/f 644 x\n"},
	{"a directory replaces the symlink", "",
		{D("foo"), L("foo", "/"), F("foo/a", "1"), D("foo"), F("foo/a", "2")},
		"f a 644 1\nd foo 755\nf foo/a 644 2\n"},
	{"a symlink is replaced, never written through", "f victim 600 v\nl l /victim",
		{F("l", "x")}, "f l 644 x\nf victim 600 v\n"},
	{"dots in front", "", {F("../f", "x")}, "! entry \"../f\": leads out of the layer's root"},
	{"dots behind", "", {F("a/../../f", "x")},
		"! entry \"a/../../f\": leads out of the layer's root"},
	{"dots inside", "", {F("a/../f", "x")}, "f f 644 x\n"},
	{"dots behind a slash", "", {F("/../f", "x")}, "f f 644 x\n"},
	{"the root is left alone", "", {{.name = "/", .type = '2', .link = "/etc"}, L("", "/etc")},
		""},
	{"component too long", "",
		{{.name = "a",
			.pax = "path=x"
			       "0123456789012345678901234567890123456789012345678901234567890123456"
			       "789"
			       "0123456789012345678901234567890123456789012345678901234567890123456"
			       "789"
			       "0123456789012345678901234567890123456789012345678901234567890123456"
			       "789"
			       "0123456789012345678901234567890123456789012345678901234567890123456"
			       "789"}},
		"! name longer than 255 bytes"},

	{"what is replaced has the way to itself", "", {L("b/b", "/"), F("b/b/b", "x")},
		"f b 644 x\n"},
	{"what is linked has the way to itself", "f a 644 x", {L("b/b", "/"), H("b/b/b", "a")},
		"f a 644 x\nh b a\n"},

	/* Hard links. */
	{"hard link", "", {F("a", "x"), H("b", "a"), H("c/d", "/a")},
		"f a 644 x\nh b a\nd c 755\nh c/d a\n"},
	{"hard link through an absolute symlink", "d etc 755\nf etc/p 644 x\nl l /etc",
		{H("mine", "l/p")}, "d etc 755\nf etc/p 644 x\nl l /etc\nh mine etc/p\n"},
	{"hard link through a symlink up and out", "d etc 755\nf etc/p 644 x\nl l ../../../../etc",
		{H("mine", "/l/p")},
		"d etc 755\nf etc/p 644 x\nl l ../../../../etc\nh mine etc/p\n"},
	{"hard link to a symlink", "l l /nowhere", {H("m", "l")}, "l l /nowhere\nh m l\n"},
	{"hard link out", "", {H("a", "../../../../../etc/passwd")},
		"! entry \"a\": link to \"../../../../../etc/passwd\": leads out of the layer's "
		"root"},
	{"hard link to what is only outside", "", {H("a", "/etc/hostname-of-the-host")},
		"! entry \"a\": link to \"/etc/hostname-of-the-host\""},
	{"hard link to nothing", "", {H("a", "b")},
		"! entry \"a\": link to \"b\": link: No such file"},
	{"hard link to itself", "f a 644 x", {H("a", "a")}, "! entry \"a\": link to \"a\""},
	{"hard link to a directory", "d d 755", {H("a", "d/")}, "! entry \"a\": link to \"d/\""},

	/* Numbers. */
	{"owner that does not fit", "", {{.name = "a", .pax = "uid=4294967296"}},
		"! entry \"a\": owner 4294967296:0 out of range"},
	{"owner that means nobody", "", {{.name = "a", .pax = "gid=4294967295"}},
		"! entry \"a\": owner 0:4294967295 out of range"},
	{"negative owner", "", {{.name = "a", .pax = "uid=-1"}}, "! entry \"a\": owner -1:0"},
	{"more bytes than allowed", "",
		{{.name = "a", .pax = "GNU.sparse.size=1048577\nGNU.sparse.map="}},
		"! entry \"a\": more than 1048576 bytes in the layer's files"},
};

static void check_case(const struct apply_case *c, const struct apply_options *options)
{
	char *root = tree_temp();
	autofree char *got = NULL;
	autoptr(err) e = NULL;

	tree_make(root, c->before);
	e = apply_specs(root, c->specs, ARRAY_LEN(c->specs), options);
	got = tree_describe(root);
	if (c->want[0] == '!') {
		if (!e || !strstr(err_message(e), c->want + 2))
			print_error("case %s: %s\n%s", c->name, err_message(e), got);
		assert_non_null(e);
		assert_non_null(strstr(err_message(e), c->want + 2));
		if (err_errno(e) != EPERM)
			assert_int_equal(err_class(e), ERR_INVALID);
	} else {
		if (e || strcmp(got, c->want) != 0)
			print_error("case %s: %s\n", c->name, err_message(e));
		assert_null(e);
		assert_string_equal(got, c->want);
	}
	tree_remove(root);
}

static void test_cases(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_case(&cases[i], &defaults);
}

/* Onto the upper directory of an overlay. */
static const struct apply_case overlay_cases[] = {
	{"whiteout", "", {D("d"), F("d/.wh.a", "")}, "d d 755\nc d/a 0 0\n"},
	{"whiteout of what the layer has put there", "", {F("a", "x"), F(".wh.a", "")},
		"f a 644 x\n"},
	{"whiteout of what was there", "f a 644 old", {F(".wh.a", "")}, "c a 0 0\n"},
	{"whiteout, then a file", "", {F(".wh.a", ""), F("a", "x")}, "f a 644 x\n"},
	{"whiteout twice", "", {F(".wh.a", ""), F(".wh.a", "")}, "c a 0 0\n"},
};

static void test_overlay(void **state)
{
	struct apply_options o = defaults;

	o.opaque_xattr = "trusted.overlay.opaque";
	for (size_t i = 0; i < ARRAY_LEN(overlay_cases); i++)
		check_case(&overlay_cases[i], &o);
}

static bool has_xattr(const char *root, const char *name, const char *xattr, const char *want)
{
	autofree char *path = xasprintf("%s/%s", root, name);
	char value[64];
	ssize_t n = lgetxattr(path, xattr, value, sizeof(value));

	return n == (ssize_t)strlen(want) && memcmp(value, want, (size_t)n) == 0;
}

static void test_overlay_opaque(void **state)
{
	static const struct tar_spec specs[] = {D("d"), F("d/.wh..wh..opq", ""), D("e"),
		F("e/.wh.sub", ""), D("e/sub"), D("f"), F(".wh.f", "")};
	struct apply_options o = defaults;
	char *root = tree_temp();

	o.opaque_xattr = "trusted.overlay.opaque";
	assert_null(apply_specs(root, specs, ARRAY_LEN(specs), &o));
	assert_true(has_xattr(root, "d", o.opaque_xattr, "y"));
	/* A directory in place of a whiteout hides what is below, in either order. */
	assert_true(has_xattr(root, "e/sub", o.opaque_xattr, "y"));
	assert_true(has_xattr(root, "f", o.opaque_xattr, "y"));
	assert_false(has_xattr(root, "e", o.opaque_xattr, "y"));
	tree_remove(root);
}

/* A parent that the layer does not have looks as it does in the layers below. */
static void test_overlay_parents(void **state)
{
	static const struct tar_spec specs[] = {F("var/lib/x/f", "x")};
	struct timespec old[2] = {{1000, 5}, {2000, 7}};
	char *lower = tree_temp(), *root = tree_temp();
	autofree char *var = xasprintf("%s/var", lower), *made = xasprintf("%s/var", root);
	autofd fd = open(lower, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct apply_options o = defaults;
	struct stat st;

	o.opaque_xattr = "trusted.overlay.opaque";
	o.lowers = &fd;
	o.n_lowers = 1;
	tree_make(lower, "d var 2711\nd var/lib 700");
	assert_int_equal(chown(var, 12, 13), 0);
	assert_int_equal(chmod(var, 02711), 0);
	assert_int_equal(lsetxattr(var, "trusted.secret", "x", 1, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, var, old, 0), 0);
	assert_null(apply_specs(root, specs, 1, &o));
	assert_int_equal(stat(made, &st), 0);
	assert_int_equal(st.st_mode & 07777, 02711);
	assert_int_equal(st.st_uid, 12);
	assert_int_equal(st.st_gid, 13);
	assert_int_equal(st.st_mtim.tv_sec, 2000);
	assert_int_equal(st.st_mtim.tv_nsec, 7);
	assert_false(has_xattr(root, "var", "trusted.secret", "x"));
	tree_remove(lower);
	tree_remove(root);
}

static void test_attributes(void **state)
{
	static const struct tar_spec specs[] = {
		{.name = "d", .type = '5', .mtime = 1000, .uid = 3, .gid = 4},
		{.name = "d/f",
			.uid = 5,
			.gid = 6,
			.mode = 04755,
			.data = "x",
			.pax = "mtime=1234.5\natime=1300"},
		{.name = "d/l", .type = '2', .link = "x", .uid = 7, .gid = 8, .mtime = 77},
		{.name = "d/early", .pax = "mtime=-5"},
		{.name = "d/late", .pax = "mtime=99999999999"},
	};
	static const char *const want = "d 40755 3:4 0 1000 2\n"
					"d/early 100644 0:0 0 0 1\n"
					"d/f 104755 5:6 1 1234 1\n"
					"d/l 120777 7:8 1 77 1\n"
					"d/late 100644 0:0 0 0 1\n";
	char *root = tree_temp();
	autofree char *got = NULL, *f = xasprintf("%s/d/f", root);
	struct stat st;

	assert_null(apply_specs(root, specs, ARRAY_LEN(specs), &defaults));
	got = tree_describe_all(root);
	assert_string_equal(got, want);
	assert_int_equal(stat(f, &st), 0);
	assert_int_equal(st.st_atim.tv_sec, 1300);
	assert_int_equal(st.st_mtim.tv_nsec, 500000000);
	tree_remove(root);
}

static void test_xattrs(void **state)
{
	static const uint8_t cap[] = {
		1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	char *root = tree_temp();
	autofree char *path = xasprintf("%s/f", root);
	autoval(buf) b = TAR_BUILD_INIT;
	uint8_t value[64];

	/* The owner changes too, which would take the capability away. */
	tar_build_pax(&b, "SCHILY.xattr.security.capability", cap, sizeof(cap));
	tar_build_entry(&b, &(struct tar_spec){.name = "f", .uid = 9, .mode = 0755, .data = "x"});
	tar_build_entry(&b, &(struct tar_spec){.name = "t", .pax = "SCHILY.xattr.trusted.x=y"});
	/* Symlinks cannot have it: left out. */
	tar_build_entry(
		&b, &(struct tar_spec){
			    .name = "l", .type = '2', .link = "f", .pax = "SCHILY.xattr.user.x=y"});
	tar_build_end(&b);
	assert_null(apply_buf(root, &b, &defaults));
	assert_int_equal(lgetxattr(path, "security.capability", value, sizeof(value)), sizeof(cap));
	assert_memory_equal(value, cap, sizeof(cap));
	assert_false(has_xattr(root, "t", "trusted.x", "y"));
	tree_remove(root);
}

static void test_sparse(void **state)
{
	static const struct tar_spec spec = {.name = "s",
		.data = "abcd",
		.pax = "GNU.sparse.size=1048576\nGNU.sparse.map=1000,2,500000,2"};
	char *root = tree_temp();
	autofree char *path = xasprintf("%s/s", root);
	char got[4];
	struct stat st;

	assert_null(apply_specs(root, &spec, 1, &defaults));
	autofd fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 1048576);
	assert_true(st.st_blocks * 512 < 100000);
	assert_int_equal(pread(fd, got, 4, 999), 4);
	assert_memory_equal(got, "\0ab\0", 4);
	assert_int_equal(pread(fd, got, 4, 499999), 4);
	assert_memory_equal(got, "\0cd\0", 4);
	tree_remove(root);
}

static void test_entry_bound(void **state)
{
	autoval(buf) b = TAR_BUILD_INIT;
	struct apply_options o = defaults;
	char *root = tree_temp();
	autoptr(err) e = NULL;

	o.max_entries = 3;
	for (int i = 0; i < 4; i++)
		tar_build_entry(&b, &(struct tar_spec){.name = "a", .data = "x"});
	e = apply_buf(root, &b, &o);
	assert_string_equal(err_message(e), "entry \"a\": more than 3 entries in the layer");
	tree_remove(root);
}

static void test_device_bomb(void **state)
{
	autoval(buf) b = TAR_BUILD_INIT;
	struct apply_options o = defaults;
	char *root = tree_temp();
	autoptr(err) e = NULL;

	o.max_entries = 100000;
	/* One name, so that the test leaves no thousand inodes behind it. */
	for (int i = 0; i <= APPLY_DEVICES_MAX; i++)
		tar_build_entry(&b, &(struct tar_spec){.name = "c", .type = '3'});
	e = apply_buf(root, &b, &o);
	assert_string_equal(
		err_message(e), "entry \"c\": more than 16384 device nodes in the layer");
	tree_remove(root);
}

static void test_user_namespace(void **state)
{
	static const struct tar_spec specs[] = {{.name = "c", .type = '3'}, F("f", "x")};
	struct apply_options o = defaults;
	char *root = tree_temp();
	autofree char *got = NULL;

	o.skip_devices = true;
	assert_null(apply_specs(root, specs, ARRAY_LEN(specs), &o));
	got = tree_describe(root);
	assert_string_equal(got, "f f 644 x\n");
	tree_remove(root);
}

/* More parents at once than are kept open, used in turns, and removed in between. */
static void test_many_parents(void **state)
{
	autoval(buf) b = TAR_BUILD_INIT;
	struct apply_options o = defaults;
	char *root = tree_temp();
	autofree char *got = NULL;
	size_t files = 0;

	o.max_entries = 10000;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 200; i++) {
			autofree char *name = xasprintf("d%d/f%d", i, round);

			tar_build_entry(&b, &(struct tar_spec){.name = name, .data = "x"});
		}
		tar_build_entry(&b, &(struct tar_spec){.name = ".wh.d7", .data = ""});
	}
	tar_build_end(&b);
	assert_null(apply_buf(root, &b, &o));
	got = tree_describe(root);
	for (const char *p = got; (p = strstr(p, "\nf ")); p++)
		files++;
	assert_int_equal(files, 3 * 199);
	tree_remove(root);
}

static void test_clean(void **state)
{
	static const struct {
		const char *name, *want; /* NULL: refused */
	} names[] = {
		{"", ""},
		{".", ""},
		{"/", ""},
		{"a", "a"},
		{"./a", "a"},
		{"/a//b/", "a/b"},
		{"a/./b", "a/b"},
		{"a/../b", "b"},
		{"/../a", "a"},
		{"a/..", ""},
		{"..", NULL},
		{"../a", NULL},
		{"a/../..", NULL},
		{"...", "..."},
		{"a/...b", "a/...b"},
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char path[TAR_PATH_MAX];
		autoptr(err) e = tree_clean(names[i].name, path);

		assert_int_equal(!e, names[i].want != NULL);
		if (!e)
			assert_string_equal(path, names[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_overlay),
		cmocka_unit_test(test_overlay_opaque),
		cmocka_unit_test(test_overlay_parents),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_xattrs),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_entry_bound),
		cmocka_unit_test(test_device_bomb),
		cmocka_unit_test(test_user_namespace),
		cmocka_unit_test(test_many_parents),
	};

	if (geteuid() != 0)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
