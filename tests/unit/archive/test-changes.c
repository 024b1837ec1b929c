// SPDX-License-Identifier: Apache-2.0
/* Needs root: owners, devices and capabilities are set. */
#include "archive/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/strv.h"
#include "tree-check.h"

/* Two trees, the second one made from the first by a function. */
struct trees {
	char *lower, *upper;
};

static void set_time(const char *root, const char *name, time_t sec, long nsec)
{
	autofree char *path = path_join(root, name);
	struct timespec times[2] = {{sec, nsec}, {sec, nsec}};

	assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void set_all_times(const char *root, const char *lines, time_t sec)
{
	autoval(strv) list = STRV_INIT;

	strv_split(&list, lines, '\n');
	for (size_t i = list.n; i-- > 0;) {
		autofree char *name = NULL;

		if (strlen(list.items[i]) < 3)
			continue;
		name = xstrndup(list.items[i] + 2, strcspn(list.items[i] + 2, " "));
		set_time(root, name, sec, 0);
	}
}

static struct err *pack(const struct trees *t, enum codec codec, int fd, struct layer_result *ret)
{
	autofd lower = open(t->lower, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autofd upper = open(t->upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autofd here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct changes_options o = {.lower_fd = lower, .upper_fd = upper};
	struct err *e = layer_pack(&o, codec, fd, ret);

	assert_int_equal(fchdir(here), 0);
	return e;
}

static struct err *unpack(const char *root, int fd, struct layer_result *ret)
{
	autofd root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autofd here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct apply_options o = {.root_fd = root_fd, .max_bytes = 1 << 30, .max_entries = 100000};
	struct err *e;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	e = layer_unpack(fd, &o, ret);
	assert_int_equal(fchdir(here), 0);
	return e;
}

static struct err *read_file(void *arg, const uint8_t **ret, size_t *ret_len)
{
	static uint8_t data[65536];
	ssize_t n = read(*(int *)arg, data, sizeof(data));

	*ret = data;
	*ret_len = (size_t)MAX(n, 0);
	return NULL;
}

/* The names in an archive with what matters of them: "name MODE", "name -> link" for hard links. */
static char *list(int fd)
{
	autoptr(tar_reader) r = tar_reader_new(read_file, &fd);
	struct buf out = BUF_INIT(1 << 20);
	const struct tar_entry *e;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	for (;;) {
		assert_null(tar_reader_next(r, &e));
		if (!e)
			break;
		if (e->type == TAR_HARDLINK)
			assert_true(buf_printf(&out, "%s -> %s\n", e->name, e->link));
		else
			assert_true(buf_printf(&out, "%s %o\n", e->name, (unsigned)e->mode));
		if (strstr(e->name, ".wh."))
			assert_int_equal(e->mtime.sec, 0);
	}
	return buf_take(&out, NULL);
}

static const struct {
	const char *name;
	const char *before;   /* in both trees, all times the same */
	const char *commands; /* what a shell does in the upper tree */
	const char *want;     /* of list() */
} cases[] = {
	{"nothing", "d etc 755\nf etc/a 644 x", "true", ""},
	{"parents come before", "d d1 755\nd d2 770",
		"mkdir -m 700 d1/d; echo ok >d2/f; chmod 644 d2/f",
		"d1/ 755\nd1/d/ 700\nd2/ 770\nd2/f 644\n"},
	{"mode of a directory", "d d1 755\nd d1/d 755\nf d1/d/f 644 x", "chmod 777 d1",
		"d1/ 777\n"},
	{"whiteouts", "d d1 755\nf d1/f1 644 x\nd d2 755\nf d2/f 644 y\nf f3 644 z",
		"rm d1/f1 f3; rm -r d2", "d1/ 755\nd1/.wh.f1 0\n.wh.d2 0\n.wh.f3 0\n"},
	{"a removed tree is one whiteout", "d a 755\nd a/b 755\nf a/b/c 644 x\nf ab 644 y",
		"rm -r a ab", ".wh.a 0\n.wh.ab 0\n"},
	{"a file in place of a directory", "d a 755\nf a/b 644 x",
		"rm -r a; echo n >a; chmod 600 a", "a 600\n"},
	{"a directory in place of a file", "f a 644 x", "rm a; mkdir -m 755 a; echo y >a/b",
		"a/ 755\na/b 644\n"},
	{"content", "f a 644 xx\nf b 644 yy", "echo -n zz >a", "a 644\n"},
	{"only the content", "f a 644 xx\nf b 644 yy", "echo -n zz >a; touch -d @1000 a",
		"a 644\n"},
	{"touched back", "f a 644 xx", "touch a; touch -d @1000 a", ""},
	{"target of a symlink", "l a x\nl b y", "ln -sfn z a; touch -h -d @1000 a b", "a 777\n"},
	{"owner", "f a 644 x\nd d 755", "chown 5 a; chgrp 6 d; touch -d @1000 a",
		"a 644\nd/ 755\n"},
	{"order is that of components", "d a 755\nf a/x 644 1\nf a.b 644 2\nf a-b 644 3",
		"echo >>a/x; echo >>a.b; echo >>a-b", "a/ 755\na/x 644\na-b 644\na.b 644\n"},
	{"hard links among themselves", "d d 755", "echo x >d/b; ln d/b d/a; ln d/a c; chmod 640 c",
		"c 640\nd/ 755\nd/a -> c\nd/b -> c\n"},
	{"unchanged hard links stay out", "f a 644 x\nh b a", "true", ""},
	{"one of three links is removed", "f a 644 x\nh b a\nh c a", "rm b", ".wh.b 0\n"},
	{"sockets stay out", "",
		"python3 -c 'import socket; socket.socket(socket.AF_UNIX)"
		".bind(\"s\")'; echo >t",
		"t 644\n"},
	{"nodes", "", "mknod c c 1 3; mkfifo p; mknod b b 7 1", "b 644\nc 644\np 644\n"},
};

static void run_shell(const char *dir, const char *commands)
{
	autofree char *line = xasprintf("umask 022; cd %s && { %s; }", dir, commands);

	/* Test code: the commands are the table's above. */
	assert_int_equal(system(line), 0);
}

static void trees_make(struct trees *t, const char *before)
{
	*t = (struct trees){.lower = tree_temp(), .upper = tree_temp()};
	tree_make(t->lower, before);
	tree_make(t->upper, before);
	set_all_times(t->lower, before, 1000);
	set_all_times(t->upper, before, 1000);
}

static void trees_remove(struct trees *t)
{
	tree_remove(t->lower);
	tree_remove(t->upper);
}

/* The list is right, and the layer makes the lower tree into the upper one. */
static void test_cases(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autofd fd = memfd_create("layer", MFD_CLOEXEC);
		autofree char *got = NULL, *upper = NULL, *lower = NULL;
		struct layer_result packed, unpacked;
		struct trees t;

		trees_make(&t, cases[i].before);
		run_shell(t.upper, cases[i].commands);
		assert_null(pack(&t, CODEC_NONE, fd, &packed));
		got = list(fd);
		if (strcmp(got, cases[i].want) != 0)
			print_error("case %s\n", cases[i].name);
		assert_string_equal(got, cases[i].want);
		assert_null(unpack(t.lower, fd, &unpacked));
		assert_string_equal(packed.digest, unpacked.digest);
		assert_true(packed.size == unpacked.size);
		run_shell(t.upper, "rm -f s");
		upper = tree_describe(t.upper);
		lower = tree_describe(t.lower);
		assert_string_equal(lower, upper);
		trees_remove(&t);
	}
}

/* A link to a file that did not change: both names are needed, or they would part. */
static void test_new_link_to_old_file(void **state)
{
	autofd fd = memfd_create("layer", MFD_CLOEXEC);
	autofree char *got = NULL;
	struct layer_result packed;
	struct trees t;

	trees_make(&t, "d d1 755\nf d1/f1 644 x\nd d2 755");
	run_shell(t.upper, "ln d1/f1 d2/l1");
	assert_null(pack(&t, CODEC_NONE, fd, &packed));
	got = list(fd);
	assert_string_equal(got, "d2/ 755\nd2/l1 644\nd1/ 755\nd1/f1 -> d2/l1\n");
	trees_remove(&t);
}

static void test_attributes_round_trip(void **state)
{
	static const uint8_t cap[] = {
		1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	static const enum codec codecs[] = {CODEC_NONE, CODEC_GZIP, CODEC_ZSTD};

	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		autofd fd = memfd_create("layer", MFD_CLOEXEC);
		autofree char *file = NULL, *upper = NULL, *lower = NULL;
		struct layer_result packed, unpacked;
		struct trees t;

		trees_make(&t, "");
		tree_make(t.upper, "d d 1755\nf d/s 6711 x\nl l d/s\nc n 4 64\np p 640\nh h d/s");
		file = path_join(t.upper, "d/s");
		run_shell(t.upper, "chown 70000:3000000 d/s; chown -h 9:9 l; chmod 6711 d/s");
		assert_int_equal(lsetxattr(file, "security.capability", cap, sizeof(cap), 0), 0);
		set_all_times(t.upper, "d d\nf d/s\nl l\nc n\np p", 1234567890);
		assert_null(pack(&t, codecs[i], fd, &packed));
		assert_null(unpack(t.lower, fd, &unpacked));
		assert_int_equal(unpacked.codec, codecs[i]);
		assert_string_equal(packed.digest, unpacked.digest);
		upper = tree_describe_all(t.upper);
		lower = tree_describe_all(t.lower);
		assert_string_equal(lower, upper);
		assert_non_null(strstr(lower, "security.capability=01000002"));
		trees_remove(&t);
	}
}

static void test_reproducible(void **state)
{
	struct trees t;
	autofd a = memfd_create("layer", MFD_CLOEXEC), b = memfd_create("layer", MFD_CLOEXEC);
	struct layer_result first, second;

	trees_make(&t, "");
	tree_make(t.upper, "f c 644 x\nf a 644 y\nd b 755\nf b/z 644 z\nf b/y 644 y");
	assert_null(pack(&t, CODEC_GZIP, a, &first));
	assert_null(pack(&t, CODEC_GZIP, b, &second));
	assert_string_equal(first.digest, second.digest);
	assert_int_equal(lseek(a, 0, SEEK_CUR), lseek(b, 0, SEEK_CUR));
	trees_remove(&t);
}

static void test_time_bound(void **state)
{
	struct trees t;
	autofd fd = memfd_create("layer", MFD_CLOEXEC);
	struct layer_result r;
	const struct tar_entry *e;

	trees_make(&t, "");
	tree_make(t.upper, "f new 644 x\nf old 644 y");
	set_time(t.upper, "new", 5000, 0);
	set_time(t.upper, "old", 300, 0);
	autofd lower = open(t.lower, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autofd upper = open(t.upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct changes_options o = {.lower_fd = lower,
		.upper_fd = upper,
		.has_time_bound = true,
		.time_bound = {.sec = 4000}};

	assert_null(layer_pack(&o, CODEC_NONE, fd, &r));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	autoptr(tar_reader) reader = tar_reader_new(read_file, &fd);

	assert_null(tar_reader_next(reader, &e));
	assert_int_equal(e->mtime.sec, 4000);
	assert_null(tar_reader_next(reader, &e));
	assert_int_equal(e->mtime.sec, 300);
	assert_int_equal(chdir("/"), 0);
	trees_remove(&t);
}

/* Whoever takes the layer goes away: the walk ends with the cause. */
static void test_full_output(void **state)
{
	struct trees t;
	autofd fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct layer_result r;

	trees_make(&t, "");
	run_shell(t.upper, "head -c 8000000 /dev/urandom >big");
	autoptr(err) e = pack(&t, CODEC_GZIP, fd, &r);

	assert_int_equal(err_class(e), ERR_EXHAUSTED);
	trees_remove(&t);
}

/* What GNU tar makes of a real tree in its formats, and what we make of its archive. */
static void test_beside_gnu_tar(void **state)
{
	static const char *const formats[] = {"gnu", "pax", "ustar"};

	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		char *ours = tree_temp(), *theirs = tree_temp(), *work = tree_temp();
		autofree char *make = xasprintf("tar -C / --format=%s -czf %s/a.tgz etc && "
						"tar -C %s -xpzf %s/a.tgz --numeric-owner",
			formats[i], work, theirs, work);
		autofree char *compare = xasprintf("diff -r --no-dereference %s %s", ours, theirs);
		autofree char *archive = path_join(work, "a.tgz"), *a = NULL, *b = NULL;
		struct layer_result r;

		assert_int_equal(system(make), 0);
		autofd fd = open(archive, O_RDONLY | O_CLOEXEC);

		assert_null(unpack(ours, fd, &r));
		a = tree_describe_all(ours);
		b = tree_describe_all(theirs);
		assert_true(strlen(a) > 1000);
		assert_string_equal(a, b);
		assert_int_equal(system(compare), 0);
		tree_remove(ours);
		tree_remove(theirs);
		tree_remove(work);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_new_link_to_old_file),
		cmocka_unit_test(test_attributes_round_trip),
		cmocka_unit_test(test_reproducible),
		cmocka_unit_test(test_time_bound),
		cmocka_unit_test(test_full_output),
		cmocka_unit_test(test_beside_gnu_tar),
	};

	if (geteuid() != 0)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
