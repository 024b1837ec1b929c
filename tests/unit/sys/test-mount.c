// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "sys/mount-internal.h"
#include "sys/mount.h"
#include "sys/mountinfo.h"

#define OK(expr)                                                                                   \
	do {                                                                                       \
		autoptr(err) ok_err_ = (expr);                                                     \
		if (ok_err_)                                                                       \
			fail_msg("%s", err_message(ok_err_));                                      \
	} while (0)
#define FAILS(class, expr)                                                                         \
	do {                                                                                       \
		autoptr(err) fails_err_ = (expr);                                                  \
		if (!err_is(fails_err_, class))                                                    \
			fail_msg("got %s: %s", err_class_name(err_class(fails_err_)),              \
				err_message(fails_err_));                                          \
	} while (0)

/* A tmpfs in a mount namespace of our own: the tests' directories, and nothing left behind. */
static bool is_old_kernel;
static char root[] = "/tmp/test-mount-XXXXXX";

static char *in_root(const char *name)
{
	return path_join(root, name);
}

static void make_dir(const char *name)
{
	autofree char *path = in_root(name);

	OK(mkdir_p(path, 0755));
}

static void make_file(const char *name, const char *text)
{
	autofree char *path = in_root(name);

	OK(file_write_atomic(path, text, strlen(text), 0644, false));
}

static bool exists(const char *name)
{
	autofree char *path = in_root(name);
	struct stat st;

	return lstat(path, &st) == 0;
}

static bool writable(const char *name)
{
	autofree char *path = in_root(name);
	autofd fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd >= 0;
}

static size_t mounts_below(const char *name)
{
	autofree char *path = in_root(name);
	autoval(strv) points = STRV_INIT;

	OK(mountinfo_below(path, &points));
	return points.n;
}

static size_t open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* As before Linux 5.2: mount(2) is all there is. */
static void take_new_calls_away(void)
{
	static const int calls[] = {SCMP_SYS(fsopen), SCMP_SYS(open_tree), SCMP_SYS(mount_setattr)};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		assert_int_equal(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), calls[i], 0), 0);
	assert_int_equal(seccomp_load(filter), 0);
	seccomp_release(filter);
}

static int set_up(void **state)
{
	struct mounts m = MOUNTS_INIT;

	if (is_old_kernel)
		take_new_calls_away();
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
		return 0;
	if (mount("", "/", "", MS_REC | MS_PRIVATE, NULL) < 0 || !mkdtemp(root))
		return -1;
	strv_add(&mounts_add(&m, "tmpfs", "tmpfs", "")->options, "size=16m,mode=0755");
	OK(mounts_attach(&m, root));
	mounts_done(&m);
	*state = root;
	return 0;
}

static int tear_down(void **state)
{
	if (*state) {
		OK(mount_detach(root));
		rmdir(root);
	}
	return 0;
}

#define NEED_ROOT()                                                                                \
	do {                                                                                       \
		if (!*state)                                                                       \
			skip();                                                                    \
	} while (0)

static void parses_options(void **state)
{
	static const struct {
		const char *type, *options;
		unsigned long flags, propagation;
		const char *data;
	} cases[] = {
		{"overlay", "workdir=/w;upperdir=/u;lowerdir=/a:/b;index=off", 0, 0,
			"workdir=/w,upperdir=/u,lowerdir=/a:/b,index=off"},
		{"bind", "rbind;ro", MS_BIND | MS_REC | MS_RDONLY, 0, ""},
		{"bind", "ro;rw", MS_BIND, 0, ""},
		{"rbind", "", MS_BIND | MS_REC, 0, ""},
		{"tmpfs", "nosuid,noexec;nodev;size=64k,mode=755", MS_NOSUID | MS_NOEXEC | MS_NODEV,
			0, "size=64k,mode=755"},
		{"tmpfs", "defaults;async;relatime", MS_RELATIME, 0, ""},
		{"bind", "bind;rslave", MS_BIND, MS_SLAVE | MS_REC, ""},
		{"tmpfs", "context=\"a,b\",ro", MS_RDONLY, 0, "context=\"a,b\""},
		{"overlay", "lowerdir=/with\\,comma:/c", 0, 0, "lowerdir=/with\\,comma:/c"},
		{"tmpfs", ",,ro,", MS_RDONLY, 0, ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(mounts) m = MOUNTS_INIT;
		autoval(mount_plan) plan = {0};
		autofree char *data = NULL;

		strv_split(&mounts_add(&m, cases[i].type, "", "")->options, cases[i].options, ';');
		OK(mount_plan_parse(&m.items[0], &plan));
		data = strv_join(&plan.data, ",");
		assert_int_equal(plan.flags, cases[i].flags);
		assert_int_equal(plan.propagation, cases[i].propagation);
		assert_string_equal(data, cases[i].data);
	}
}

static void refuses_options(void **state)
{
	static const struct {
		const char *option;
		enum err_class class;
	} cases[] = {
		{"X-containerd.mkfs.fs=ext4", ERR_INVALID},
		{"ro,X-containerd.dmverity=x", ERR_INVALID},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(mounts) m = MOUNTS_INIT;
		struct mount_plan plan;

		strv_add(&mounts_add(&m, "overlay", "", "")->options, cases[i].option);
		FAILS(cases[i].class, mount_plan_parse(&m.items[0], &plan));
	}
}

static void splits_lowerdirs(void **state)
{
	static const struct {
		const char *value, *dirs, *data;
	} cases[] = {
		{"/a", "/a", ""},
		{"/a:/b:/c", "/a,/b,/c", ""},
		{"/a\\:b:/c\\\\d", "/a:b,/c\\d", ""},
		{"/a:/b::/d1::/d2", "/a,/b", "/d1,/d2"},
		{"", "", ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(strv) dirs = STRV_INIT;
		autoval(strv) data = STRV_INIT;
		autofree char *a = NULL;
		autofree char *b = NULL;

		mount_split_lowerdirs(cases[i].value, &dirs, &data);
		a = strv_join(&dirs, ",");
		b = strv_join(&data, ",");
		assert_string_equal(a, cases[i].dirs);
		assert_string_equal(b, cases[i].data);
	}
}

static void copies_lists(void **state)
{
	autoval(mounts) a = MOUNTS_INIT;
	autoval(mounts) b = MOUNTS_INIT;

	strv_add(&mounts_add(&a, "bind", "/src", "sub")->options, "ro");
	mounts_add(&b, "old", "", "");
	mounts_copy(&b, &a);
	mounts_done(&a);
	assert_int_equal(b.n, 1);
	assert_string_equal(b.items[0].source, "/src");
	assert_string_equal(b.items[0].target, "sub");
	assert_string_equal(b.items[0].options.items[0], "ro");
}

static void bind_is_read_only(void **state)
{
	autoval(mounts) m = MOUNTS_INIT;
	autofree char *source = in_root("bind/src");
	autofree char *target = in_root("bind/dst");
	bool is_point;

	NEED_ROOT();
	make_dir("bind/src");
	make_dir("bind/dst");
	make_file("bind/src/file", "x");
	strv_split(&mounts_add(&m, "bind", source, "")->options, "rbind,ro,nosuid", ',');
	OK(mounts_attach(&m, target));
	assert_true(exists("bind/dst/file"));
	assert_false(writable("bind/dst/new"));
	assert_true(writable("bind/src/new"));
	OK(mount_is_point(target, &is_point));
	assert_true(is_point);
	OK(mount_detach(target));
	OK(mount_is_point(target, &is_point));
	assert_false(is_point);
	OK(mount_detach(target));
}

static void rbind_takes_submounts(void **state)
{
	autoval(mounts) inner = MOUNTS_INIT;
	autoval(mounts) m = MOUNTS_INIT;
	autofree char *source = in_root("rbind/src");
	autofree char *sub = in_root("rbind/src/sub");
	autofree char *target = in_root("rbind/dst");

	NEED_ROOT();
	make_dir("rbind/src/sub");
	make_dir("rbind/dst");
	mounts_add(&inner, "tmpfs", "tmpfs", "");
	OK(mounts_attach(&inner, sub));
	make_file("rbind/src/sub/file", "x");
	strv_split(&mounts_add(&m, "bind", source, "")->options, "rbind,rro", ',');
	OK(mounts_attach(&m, target));
	assert_true(exists("rbind/dst/sub/file"));
	assert_true(is_old_kernel || !writable("rbind/dst/sub/new"));
	OK(mount_detach(target));
	strv_done(&m.items[0].options);
	strv_split(&m.items[0].options, "bind", ',');
	OK(mounts_attach(&m, target));
	assert_false(exists("rbind/dst/sub/file"));
	OK(mount_detach(target));
	OK(mount_detach(sub));
	assert_int_equal(mounts_below("rbind"), 0);
}

/* n lower directories with a file each, below a path long enough to pass a page. */
static char *many_lowers(size_t n, const char *filler)
{
	autoval(strv) dirs = STRV_INIT;
	autofree char *joined = NULL;

	for (size_t i = 0; i < n; i++) {
		autofree char *name = xasprintf("many/%s/%zu/fs", filler, i);
		autofree char *file = xasprintf("%s/file-%zu", name, i);

		make_dir(name);
		make_file(file, "x");
		strv_add_take(&dirs, in_root(name));
	}
	joined = strv_join(&dirs, ":");
	return xasprintf("lowerdir=%s", joined);
}

static void overlay_has_many_layers(void **state)
{
	/* More than 500 are more than one overlay takes. */
	static const size_t counts[] = {2, 60, 128, 500, 501, 800};
	const size_t n_counts = is_old_kernel ? 3 : ARRAY_LEN(counts);
	autofree char *filler = xmalloc(101);
	autofree char *target = in_root("many/merged");
	autofree char *work = NULL;
	autofree char *upper = NULL;

	NEED_ROOT();
	memset(filler, 'f', 100);
	filler[100] = '\0';
	make_dir("many/merged");
	make_dir("many/upper");
	make_dir("many/work");
	work = xasprintf("workdir=%s/many/work", root);
	upper = xasprintf("upperdir=%s/many/upper", root);
	for (size_t i = 0; i < n_counts; i++) {
		autoval(mounts) m = MOUNTS_INIT;
		struct mount *o = mounts_add(&m, "overlay", "overlay", "");
		autofree char *last = xasprintf("many/merged/file-%zu", counts[i] - 1);

		strv_add(&o->options, work);
		strv_add(&o->options, upper);
		strv_add_take(&o->options, many_lowers(counts[i], filler));
		OK(mounts_attach(&m, target));
		assert_true(exists("many/merged/file-0"));
		assert_true(exists(last));
		assert_true(writable("many/merged/new"));
		assert_true(exists("many/upper/new"));
		OK(mount_detach(target));
	}
}

static void overlay_error_says_why(void **state)
{
	autoval(mounts) m = MOUNTS_INIT;
	autofree char *target = in_root("why");
	autofree char *lower = xasprintf("lowerdir=%s/why/missing", root);
	autoptr(err) e = NULL;

	NEED_ROOT();
	make_dir("why");
	strv_add(&mounts_add(&m, "overlay", "overlay", "")->options, lower);
	e = mounts_attach(&m, target);
	assert_true(err_is(e, ERR_NOT_FOUND));
	assert_true(is_old_kernel || strstr(err_message(e), "why/missing"));
	assert_int_equal(mounts_below("why"), 0);
}

static void unknown_types_fail(void **state)
{
	autoval(mounts) m = MOUNTS_INIT;
	autofree char *target = in_root("unknown");

	NEED_ROOT();
	make_dir("unknown");
	mounts_add(&m, "no-such-fs", "x", "");
	FAILS(ERR_UNKNOWN, mounts_attach(&m, target));
	assert_true(mount_fs_supported("tmpfs"));
	assert_false(mount_fs_supported("no-such-fs"));
}

static void failure_undoes_all(void **state)
{
	autoval(mounts) m = MOUNTS_INIT;
	autofree char *target = in_root("undo");
	size_t fds;

	NEED_ROOT();
	make_dir("undo");
	mounts_add(&m, "tmpfs", "tmpfs", "");
	mounts_add(&m, "tmpfs", "tmpfs", "");
	mounts_add(&m, "bind", "/does/not/exist", "");
	fds = open_fds();
	FAILS(ERR_NOT_FOUND, mounts_attach(&m, target));
	assert_int_equal(mounts_below("undo"), 0);
	assert_int_equal(open_fds(), fds);
}

static void targets_stay_inside(void **state)
{
	autoval(mounts) m = MOUNTS_INIT;
	autofree char *target = in_root("inside");
	autofree char *outside = in_root("outside");
	autofree char *link = in_root("inside/link");
	autofree char *source = in_root("outside-source");

	NEED_ROOT();
	make_dir("inside/sub");
	make_dir("outside");
	make_dir("outside-source");
	make_file("outside-source/mark", "x");
	assert_int_equal(symlink(outside, link), 0);
	/* The link leads nowhere when its target is taken inside. */
	mounts_add(&m, "bind", source, "link");
	FAILS(ERR_NOT_FOUND, mounts_attach(&m, target));
	mounts_done(&m);
	mounts_add(&m, "bind", source, "../outside");
	FAILS(ERR_NOT_FOUND, mounts_attach(&m, target));
	mounts_done(&m);
	mounts_add(&m, "bind", source, "missing");
	FAILS(ERR_NOT_FOUND, mounts_attach(&m, target));
	mounts_done(&m);
	mounts_add(&m, "bind", source, "../sub");
	OK(mounts_attach(&m, target));
	assert_true(exists("inside/sub/mark"));
	assert_false(exists("outside/mark"));
	/* Not a mount itself, but something is mounted below. */
	OK(mount_detach(target));
	assert_int_equal(mounts_below("inside"), 0);
}

static void sub_targets_follow_their_parent(void **state)
{
	autoval(mounts) m = MOUNTS_INIT;
	autofree char *target = in_root("nested");
	autofree char *source = in_root("nested-source");

	NEED_ROOT();
	make_dir("nested");
	make_dir("nested-source/inner");
	mounts_add(&m, "bind", source, "");
	mounts_add(&m, "tmpfs", "tmpfs", "inner");
	OK(mounts_attach(&m, target));
	make_file("nested/inner/file", "x");
	assert_false(exists("nested-source/inner/file"));
	assert_int_equal(mounts_below("nested"), 2);
	OK(mount_detach(target));
	assert_int_equal(mounts_below("nested"), 0);
}

static void detach_is_lazy_when_busy(void **state)
{
	autoval(mounts) m = MOUNTS_INIT;
	autofree char *target = in_root("busy");
	autofree char *file = in_root("busy/held");
	autofd held = -1;

	NEED_ROOT();
	make_dir("busy");
	mounts_add(&m, "tmpfs", "tmpfs", "");
	mounts_add(&m, "tmpfs", "tmpfs", "");
	OK(mounts_attach(&m, target));
	held = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(held >= 0);
	OK(mount_detach(target));
	assert_int_equal(mounts_below("busy"), 0);
	assert_false(exists("busy/held"));
}

static void flags_reach_the_mount(void **state)
{
	autoval(mounts) m = MOUNTS_INIT;
	autofree char *target = in_root("flags");
	struct statvfs st;

	NEED_ROOT();
	make_dir("flags");
	strv_split(&mounts_add(&m, "tmpfs", "tmpfs", "")->options,
		"nosuid,noexec,nodev,noatime,ro,rprivate", ',');
	OK(mounts_attach(&m, target));
	assert_int_equal(statvfs(target, &st), 0);
	assert_int_equal(st.f_flag & (ST_NOSUID | ST_NOEXEC | ST_NODEV | ST_NOATIME | ST_RDONLY),
		ST_NOSUID | ST_NOEXEC | ST_NODEV | ST_NOATIME | ST_RDONLY);
	OK(mount_detach(target));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_options),
		cmocka_unit_test(refuses_options),
		cmocka_unit_test(splits_lowerdirs),
		cmocka_unit_test(copies_lists),
		cmocka_unit_test(bind_is_read_only),
		cmocka_unit_test(rbind_takes_submounts),
		cmocka_unit_test(overlay_has_many_layers),
		cmocka_unit_test(overlay_error_says_why),
		cmocka_unit_test(unknown_types_fail),
		cmocka_unit_test(failure_undoes_all),
		cmocka_unit_test(targets_stay_inside),
		cmocka_unit_test(sub_targets_follow_their_parent),
		cmocka_unit_test(detach_is_lazy_when_busy),
		cmocka_unit_test(flags_reach_the_mount),
	};

	is_old_kernel = argc > 1 && strcmp(argv[1], "old-kernel") == 0;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
