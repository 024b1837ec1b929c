// SPDX-License-Identifier: Apache-2.0
/* Mounts that need something to be made first: a loop device, a user namespace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "sys/id-map.h"
#include "sys/loop.h"
#include "sys/mount.h"
#include "sys/mountinfo.h"
#include "sys/spawn.h"

#define OK(expr)                                                                                   \
	do {                                                                                       \
		autoptr(err) ok_err_ = (expr);                                                     \
		if (ok_err_)                                                                       \
			fail_msg("%s", err_message(ok_err_));                                      \
	} while (0)
#define NEED_ROOT()                                                                                \
	do {                                                                                       \
		if (!*state)                                                                       \
			skip();                                                                    \
	} while (0)

/* On a disk, since not every kernel maps the ids of a tmpfs; in a mount namespace of our own. */
static char root[] = "/var/tmp/test-needs-XXXXXX";

static char *in_root(const char *name)
{
	return path_join(root, name);
}

static void make_owned(const char *dir, uid_t uid, gid_t gid)
{
	autofree char *path = in_root(dir);
	autofree char *file = path_join(path, "file");

	OK(mkdir_p(path, 0755));
	OK(file_write_atomic(file, "x", 1, 0644, false));
	assert_int_equal(chown(file, uid, gid), 0);
}

static void check_owner(const char *name, uid_t uid, gid_t gid)
{
	autofree char *path = in_root(name);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, gid);
}

static void check_clean(void)
{
	autoval(strv) points = STRV_INIT;

	OK(mountinfo_below(root, &points));
	assert_int_equal(points.n, 0);
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

static void parses_mappings(void **state)
{
	static const struct {
		const char *text;
		bool valid;
		uint32_t id, host;
		bool mapped;
	} cases[] = {
		{"0:1000:10", true, 0, 1000, true},
		{"0:1000:10", true, 9, 1009, true},
		{"0:1000:10", true, 10, 0, false},
		{"5:9:1,0:1000:65536", true, 0, 1000, true},
		{"5:9:1,0:1000:4", true, 5, 9, true},
		{"0:4294967294:1", true, 0, 4294967294, true},
		{"0:4294967294:2", true, 1, 0, false},
		{"0:4294967290:10", true, 9, 0, false},
		{"0:0:0", true, 0, 0, false},
		{"0:4294967295:1", false, 0, 0, false},
		{"", false, 0, 0, false},
		{"0:0", false, 0, 0, false},
		{"0:0:1:", false, 0, 0, false},
		{"-1:0:1", false, 0, 0, false},
		{" 0:0:1", false, 0, 0, false},
		{"0:0:1,", false, 0, 0, false},
		{"0:99999999999999999999:1", false, 0, 0, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct id_map m;
		autoptr(err) e = id_map_parse(cases[i].text, &m);
		uint32_t host = 0;

		if (!cases[i].valid != err_is(e, ERR_INVALID))
			fail_msg("%s: %s", cases[i].text, err_message(e));
		if (!cases[i].valid)
			continue;
		assert_int_equal(id_map_to_host(&m, cases[i].id, &host), cases[i].mapped);
		if (cases[i].mapped)
			assert_int_equal(host, cases[i].host);
	}
}

static void mappings_are_bounded(void **state)
{
	autoval(strv) ranges = STRV_INIT;
	autofree char *text = NULL;
	struct id_map m;
	autoptr(err) e = NULL;

	for (int i = 0; i <= ID_RANGES_MAX; i++)
		strv_addf(&ranges, "%d:%d:1", i, i);
	text = strv_join(&ranges, ",");
	e = id_map_parse(text, &m);
	assert_true(err_is(e, ERR_INVALID));
}

static void binds_map_ids(void **state)
{
	autoval(mounts) m = MOUNTS_INIT;
	autofree char *source = in_root("bind/src");
	autofree char *target = in_root("bind/dst");
	struct mount *bind = mounts_add(&m, "bind", source, "");
	size_t before;

	NEED_ROOT();
	make_owned("bind/src", 3, 4);
	make_owned("bind/dst", 0, 0);
	strv_add(&bind->options, "uidmap=0:1000:2,2:5000:10");
	strv_add(&bind->options, "gidmap=0:2000:10");
	strv_add(&bind->options, "ro");
	strv_add(&bind->options, "rbind");
	before = open_fds();
	OK(mounts_attach(&m, target));
	assert_int_equal(open_fds(), before);
	check_owner("bind/dst/file", 5001, 2004);
	OK(mount_detach(target));
	check_clean();
}

/* As with containerd, one of them alone changes nothing. */
static void one_mapping_is_none(void **state)
{
	autoval(mounts) m = MOUNTS_INIT;
	autofree char *source = in_root("one/src");
	autofree char *target = in_root("one/dst");
	struct mount *bind = mounts_add(&m, "bind", source, "");

	NEED_ROOT();
	make_owned("one/src", 3, 4);
	make_owned("one/dst", 0, 0);
	strv_add(&bind->options, "uidmap=0:1000:10");
	OK(mounts_attach(&m, target));
	check_owner("one/dst/file", 3, 4);
	OK(mount_detach(target));
}

static void bad_mappings_are_refused(void **state)
{
	autoval(mounts) m = MOUNTS_INIT;
	autofree char *target = in_root("bad/dst");
	struct mount *bind = mounts_add(&m, "bind", target, "");
	autoptr(err) e = NULL;

	NEED_ROOT();
	make_owned("bad/dst", 0, 0);
	strv_add(&bind->options, "uidmap=0:1000:10");
	strv_add(&bind->options, "gidmap=everything");
	e = mounts_attach(&m, target);
	assert_true(err_is(e, ERR_INVALID));
	check_clean();
}

static void add_overlay(struct mounts *m, const char *dir)
{
	struct mount *o = mounts_add(m, "overlay", "overlay", "");

	strv_addf(&o->options, "uidmap=0:1000:10");
	strv_addf(&o->options, "gidmap=0:2000:10");
	strv_addf(&o->options, "workdir=%s/%s/work", root, dir);
	strv_addf(&o->options, "upperdir=%s/%s/upper", root, dir);
	strv_addf(&o->options, "lowerdir=%s/%s/1/fs:%s/%s/12/fs", root, dir, root, dir);
}

/* Lower directories are mapped, the upper one is the user's already. */
static void overlays_map_their_layers(void **state)
{
	autoval(mounts) m = MOUNTS_INIT;
	autofree char *target = in_root("ovl/dst");
	autofree char *deep = in_root("ovl/12/fs/deep");
	autoval(strv) points = STRV_INIT;
	size_t before;

	NEED_ROOT();
	make_owned("ovl/1/fs", 3, 4);
	OK(mkdir_p(deep, 0755));
	make_owned("ovl/12/fs/deep", 0, 0);
	make_owned("ovl/upper/new", 1001, 2001);
	make_owned("ovl/work", 0, 0);
	make_owned("ovl/dst", 0, 0);
	add_overlay(&m, "ovl");
	before = open_fds();
	OK(mounts_attach(&m, target));
	assert_int_equal(open_fds(), before);
	check_owner("ovl/dst/file", 1003, 2004);
	check_owner("ovl/dst/deep/file", 1000, 2000);
	check_owner("ovl/dst/new/file", 1001, 2001);
	check_owner("ovl/12/fs/deep/file", 0, 0);
	/* What helped to make it is gone. */
	OK(mountinfo_below(root, &points));
	assert_int_equal(points.n, 1);
	OK(mount_detach(target));
	check_clean();
}

static void failed_overlay_leaves_nothing(void **state)
{
	autoval(mounts) m = MOUNTS_INIT;
	autofree char *target = in_root("fail/dst");
	autoptr(err) e = NULL;

	NEED_ROOT();
	make_owned("fail/1/fs", 3, 4);
	make_owned("fail/dst", 0, 0);
	add_overlay(&m, "fail");
	e = mounts_attach(&m, target);
	assert_true(err_is(e, ERR_NOT_FOUND));
	check_clean();
}

/* An ext4 image, or false where there is no mkfs.ext4. */
static bool make_image(const char *path)
{
	char *const argv[] = {(char *)"mkfs.ext4", (char *)"-q", (char *)"-F", (char *)path, NULL};
	struct spawn_options o = {.path = "/sbin/mkfs.ext4", .argv = argv};
	autoval(spawn_result) r = {0};
	autoptr(err) e = NULL;
	autofd fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(ftruncate(fd, 8 << 20), 0);
	e = spawn_run(&o, NULL, 0, 4096, -1, NULL, &r);
	if (!e)
		assert_int_equal(r.status, 0);
	return !e;
}

static bool has_loop_devices(void)
{
	return access("/dev/loop-control", R_OK | W_OK) == 0;
}

/* The file that a device shows; "" for none. */
static char *backing_file(const char *device)
{
	autofree char *path = xasprintf("/sys/block/%s/loop/backing_file", path_base(device));
	char *text = NULL;

	err_free(file_read(path, 4096, &text, NULL));
	return text ? text : xstrdup("");
}

static void loops_detach_themselves(void **state)
{
	struct loop_options options = {.is_readonly = true};
	autofree char *file = in_root("loop.img");
	autofree char *device = NULL, *shown = NULL, *after = NULL;
	autofd fd = -1;

	NEED_ROOT();
	if (!has_loop_devices())
		skip();
	OK(file_write_atomic(file, "x", 1, 0644, false));
	assert_int_equal(truncate(file, 65536), 0);
	OK(loop_attach(file, &options, &fd, &device));
	shown = backing_file(device);
	assert_true(str_starts(shown, file));
	close(TAKE_FD(fd));
	after = backing_file(device);
	assert_false(str_starts(after, file));
}

static void images_mount_by_loop(void **state)
{
	static const char *const access_options[] = {"rw", "ro"};

	NEED_ROOT();
	if (!has_loop_devices())
		skip();
	autofree char *file = in_root("image.ext4");
	autofree char *target = in_root("image");

	if (!make_image(file)) {
		/* Skipping leaves by a jump, past what frees them. */
		free(TAKE(file));
		free(TAKE(target));
		skip();
	}
	OK(mkdir_p(target, 0755));
	for (size_t i = 0; i < ARRAY_LEN(access_options); i++) {
		autoval(mounts) m = MOUNTS_INIT;
		struct mount *image = mounts_add(&m, "ext4", file, "");
		autofree char *name = path_join(target, "x");
		autoptr(err) e = NULL;

		strv_add(&image->options, "loop");
		strv_add(&image->options, access_options[i]);
		OK(mounts_attach(&m, target));
		e = file_write_atomic(name, "x", 1, 0600, false);
		assert_int_equal(!e, i == 0);
		assert_int_equal(access(name, F_OK), 0);
		OK(mount_detach(target));
	}
	check_clean();
}

static void missing_images_are_named(void **state)
{
	autoval(mounts) m = MOUNTS_INIT;
	autoptr(err) e = NULL;

	strv_add(&mounts_add(&m, "ext4", "/no/such/image", "")->options, "loop");
	e = mounts_attach(&m, "/");
	assert_true(err_is(e, ERR_NOT_FOUND));
	assert_non_null(strstr(err_message(e), "/no/such/image"));
}

static int set_up(void **state)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
		return 0;
	if (mount("", "/", "", MS_REC | MS_PRIVATE, NULL) < 0 || !mkdtemp(root))
		return -1;
	*state = root;
	return 0;
}

static int tear_down(void **state)
{
	if (*state)
		OK(remove_tree(root));
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_mappings),
		cmocka_unit_test(mappings_are_bounded),
		cmocka_unit_test(binds_map_ids),
		cmocka_unit_test(one_mapping_is_none),
		cmocka_unit_test(bad_mappings_are_refused),
		cmocka_unit_test(overlays_map_their_layers),
		cmocka_unit_test(failed_overlay_leaves_nothing),
		cmocka_unit_test(loops_detach_themselves),
		cmocka_unit_test(images_mount_by_loop),
		cmocka_unit_test(missing_images_are_named),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
