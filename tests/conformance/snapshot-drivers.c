// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/strv.h"
#include "tests/conformance/snapshot-suite.h"

static char *options_of(struct snapshot_driver *d, enum snapshot_kind snapshot_kind, uint64_t id,
	const uint64_t *parents)
{
	autoval(mounts) m = MOUNTS_INIT;
	autofree char *options = NULL;
	struct chain c;

	OK(snapshot_driver_mounts(d, chain(&c, snapshot_kind, id, parents), &m));
	assert_int_equal(m.n, 1);
	options = strv_join(&m.items[0].options, ",");
	return xasprintf("%s %s %s", m.items[0].type, m.items[0].source, options);
}

/* Clients take these lists apart: buildkit, nerdctl, stargz. */
static void overlay_options_have_their_order(void **state)
{
	struct fixture *f = *state;
	struct snapshot_driver *d = f->driver;
	autofree char *base = xasprintf("%s/snapshots", f->root);
	autofree char *a = NULL;
	autofree char *b = NULL;
	autofree char *c = NULL;
	autofree char *want_a = xasprintf("bind %s/1/fs rw,rbind", base);
	autofree char *want_b = xasprintf(
		"overlay overlay workdir=%s/3/work,upperdir=%s/3/fs,lowerdir=%s/2/fs:%s/1/fs", base,
		base, base, base);
	autofree char *want_c = xasprintf("bind %s/1/fs ro,rbind", base);

	create(d, SNAPSHOT_ACTIVE, 1, ALONE);
	create(d, SNAPSHOT_ACTIVE, 2, PARENTS(1));
	create(d, SNAPSHOT_ACTIVE, 3, PARENTS(2, 1));
	create(d, SNAPSHOT_VIEW, 4, PARENTS(1));
	a = options_of(d, SNAPSHOT_ACTIVE, 1, ALONE);
	b = options_of(d, SNAPSHOT_ACTIVE, 3, PARENTS(2, 1));
	c = options_of(d, SNAPSHOT_VIEW, 4, PARENTS(1));
	assert_string_equal(a, want_a);
	assert_true(str_starts(b, want_b));
	assert_string_equal(c, want_c);
}

static void overlay_maps_root(void **state)
{
	struct snapshot_driver *d = driver_of(state);
	struct chain c;
	struct stat st;

	chain(&c, SNAPSHOT_ACTIVE, 1, ALONE);
	strmap_set(&c.c.info.labels, "containerd.io/snapshot/uidmapping", "5:9:1,0:1000:65536");
	strmap_set(&c.c.info.labels, "containerd.io/snapshot/gidmapping", "0:2000:65536");
	OK(snapshot_driver_create(d, &c.c));
	strmap_done(&c.c.info.labels);
	attach(d, SNAPSHOT_ACTIVE, 1, ALONE);
	assert_int_equal(stat(target, &st), 0);
	assert_int_equal(st.st_uid, 1000);
	assert_int_equal(st.st_gid, 2000);
	detach();
}

static bool has_capability(const struct snapshot_driver *d, const char *name)
{
	for (size_t i = 0; d->capabilities[i]; i++) {
		if (strcmp(d->capabilities[i], name) == 0)
			return true;
	}
	return false;
}

static struct snapshot_chain *mapped_chain(struct chain *c, uint64_t id, const uint64_t *parents)
{
	chain(c, SNAPSHOT_ACTIVE, id, parents);
	strmap_set(&c->c.info.labels, "containerd.io/snapshot/uidmapping", "0:1000:65536");
	strmap_set(&c->c.info.labels, "containerd.io/snapshot/gidmapping", "0:2000:65536");
	return &c->c;
}

static void overlay_shows_mapped_ids(void **state)
{
	struct snapshot_driver *d = driver_of(state);
	autofree char *file = path_join(target, "one");
	autoval(mounts) m = MOUNTS_INIT;
	struct stat root, below;
	struct chain c;

	if (!has_capability(d, "remap-ids"))
		skip();
	layer(d, 1, ALONE, "one");
	OK(snapshot_driver_create(d, mapped_chain(&c, 2, PARENTS(1))));
	OK(snapshot_driver_mounts(d, &c.c, &m));
	strmap_done(&c.c.info.labels);
	assert_string_equal(m.items[0].options.items[0], "uidmap=0:1000:65536");
	assert_string_equal(m.items[0].options.items[1], "gidmap=0:2000:65536");
	OK(mounts_attach(&m, target));
	assert_int_equal(stat(target, &root), 0);
	assert_int_equal(stat(file, &below), 0);
	detach();
	assert_int_equal(root.st_uid, 1000);
	assert_int_equal(root.st_gid, 2000);
	assert_int_equal(below.st_uid, 1000);
	assert_int_equal(below.st_gid, 2000);
}

static void overlay_refuses_bad_mappings(void **state)
{
	static const char *const mappings[] = {"root", "1:1:1", "0:0:0", "0:0:1,"};
	struct snapshot_driver *d = driver_of(state);

	for (size_t i = 0; i < ARRAY_LEN(mappings); i++) {
		struct chain c;
		autoptr(err) e = NULL;

		chain(&c, SNAPSHOT_ACTIVE, 1, ALONE);
		strmap_set(&c.c.info.labels, "containerd.io/snapshot/uidmapping", mappings[i]);
		e = snapshot_driver_create(d, &c.c);
		strmap_done(&c.c.info.labels);
		if (!err_is(e, ERR_INVALID))
			fail_msg("\"%s\": %s", mappings[i], err_message(e));
	}
}

static void overlay_tells_what_it_can(void **state)
{
	struct fixture *f = *state;
	struct overlay_options options = {.slow_chown = true, .upperdir_label = true};
	autofree char *root = path_join(f->root, "other");
	autofree char *want = xasprintf("%s/snapshots/7/fs", root);
	autoptr(snapshot_driver) d = NULL;
	autoval(strmap) labels = STRMAP_INIT;

	assert_true(has_capability(f->driver, "only-remap-ids"));
	assert_true(has_capability(f->driver, "rebase"));
	snapshot_driver_labels(f->driver, 7, &labels);
	assert_int_equal(labels.n, 0);
	OK(mkdir_p(root, 0700));
	OK(overlay_driver_open(root, &options, &d));
	assert_false(has_capability(d, "only-remap-ids"));
	snapshot_driver_labels(d, 7, &labels);
	assert_string_equal(strmap_get(&labels, "containerd.io/snapshot/overlay.upperdir"), want);
}

/* --- btrfs --- */

static void make_subvolume(const char *dir, const char *name)
{
	struct btrfs_ioctl_vol_args args = {0};
	autofree char *parent = path_join(target, dir);
	autofd fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	snprintf(args.name, sizeof(args.name), "%s", name);
	assert_int_equal(ioctl(fd, BTRFS_IOC_SUBVOL_CREATE, &args), 0);
}

static void seal(const char *name)
{
	autofree char *path = path_join(target, name);
	autofd fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t flags = BTRFS_SUBVOL_RDONLY;

	assert_int_equal(ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, &flags), 0);
}

/* Whoever may write in a container may make subvolumes, and no others than ours are ours. */
static void btrfs_removes_what_is_inside(void **state)
{
	struct snapshot_driver *d = driver_of(state);
	struct ids ids = {0};

	create(d, SNAPSHOT_ACTIVE, 1, ALONE);
	create(d, SNAPSHOT_ACTIVE, 2, ALONE);
	attach(d, SNAPSHOT_ACTIVE, 1, ALONE);
	make_subvolume("", "a");
	put("a/file", "x");
	make_subvolume("a", "b");
	make_subvolume("a/b", "c");
	make_subvolume("", "d");
	seal("a/b");
	detach();
	commit(d, 1, ALONE);
	OK(snapshot_driver_remove(d, 1));
	OK(snapshot_driver_walk(d, collect, &ids));
	assert_int_equal(ids.n, 1);
	assert_int_equal(ids.items[0], 2);
}

static void btrfs_counts_changes(void **state)
{
	struct snapshot_driver *d = driver_of(state);
	autofree char *dir = path_join(target, "dir");
	int64_t bytes, inodes;
	struct chain c;

	create(d, SNAPSHOT_ACTIVE, 1, ALONE);
	attach(d, SNAPSHOT_ACTIVE, 1, ALONE);
	OK(mkdir_p(dir, 0755));
	put("dir/same", "1");
	put("dir/other", "1");
	put("gone", "1");
	detach();
	commit(d, 1, ALONE);
	create(d, SNAPSHOT_ACTIVE, 2, PARENTS(1));
	attach(d, SNAPSHOT_ACTIVE, 2, PARENTS(1));
	put("dir/other", "2");
	put("dir/new", "2");
	drop("gone");
	detach();
	OK(snapshot_driver_usage(d, chain(&c, SNAPSHOT_ACTIVE, 2, PARENTS(1)), &bytes, &inodes));
	assert_int_equal(inodes, 2);
}

static void btrfs_seals_what_is_committed(void **state)
{
	struct fixture *f = *state;
	autofree char *path = xasprintf("%s/snapshots/1/file", f->root);
	autofree char *options = NULL;
	autofree char *view = NULL;

	create(f->driver, SNAPSHOT_ACTIVE, 1, ALONE);
	commit(f->driver, 1, ALONE);
	assert_int_equal(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), -1);
	assert_int_equal(errno, EROFS);
	create(f->driver, SNAPSHOT_VIEW, 2, PARENTS(1));
	view = options_of(f->driver, SNAPSHOT_VIEW, 2, PARENTS(1));
	assert_true(str_starts(view, "btrfs /dev/loop"));
	assert_non_null(strstr(view, " subvolid="));
	assert_true(strlen(view) > 3 && strcmp(view + strlen(view) - 3, ",ro") == 0);
	/* The row was never committed: it is written to again. */
	options = options_of(f->driver, SNAPSHOT_ACTIVE, 1, ALONE);
	assert_null(strchr(options, ','));
	attach(f->driver, SNAPSHOT_ACTIVE, 1, ALONE);
	assert_true(writable());
	detach();
}

/* --- blockfile --- */

static void blockfile_has_its_options(void **state)
{
	struct fixture *f = *state;
	autofree char *want = xasprintf("ext4 %s/snapshots/1 loop,rw", f->root);
	autofree char *want_view = xasprintf("ext4 %s/snapshots/1 loop,ro", f->root);
	autofree char *active = NULL, *view = NULL;

	create(f->driver, SNAPSHOT_ACTIVE, 1, ALONE);
	active = options_of(f->driver, SNAPSHOT_ACTIVE, 1, ALONE);
	assert_string_equal(active, want);
	create(f->driver, SNAPSHOT_VIEW, 2, PARENTS(1));
	view = options_of(f->driver, SNAPSHOT_VIEW, 2, PARENTS(1));
	assert_string_equal(view, want_view);
}

static void blockfile_needs_a_scratch_file(void **state)
{
	static const struct {
		const char *file;
		const char *text;
	} cases[] = {
		{NULL, "no scratch file generator: skip plugin"},
		{"/no/such/file", "failed to generate scratch file: failed to copy scratch: open "
				  "/no/such/file"},
	};
	struct fixture *f = *state;
	autofree char *root = path_join(f->root, "other");

	OK(mkdir_p(root, 0700));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct blockfile_options options = {.scratch_file = cases[i].file};
		struct snapshot_driver *d = NULL;
		autoptr(err) e = blockfile_driver_open(root, &options, &d);

		assert_null(d);
		assert_true(str_starts(err_message(e), cases[i].text));
	}
}

static void elsewhere_btrfs_is_skipped(void **state)
{
	struct fixture *f = *state;
	struct snapshot_driver *d = NULL;
	autoptr(err) e = btrfs_driver_open(f->root, &d);

	assert_null(d);
	assert_non_null(strstr(err_message(e), " (tmpfs) must be a btrfs filesystem to be used"));
	assert_non_null(strstr(err_message(e), "skip plugin"));
}

int run_overlay_tests(void)
{
	const struct CMUnitTest tests[] = {
		TEST(overlay_options_have_their_order),
		TEST(overlay_maps_root),
		TEST(overlay_shows_mapped_ids),
		TEST(overlay_refuses_bad_mappings),
		TEST(overlay_tells_what_it_can),
	};

	return cmocka_run_group_tests_name("overlay", tests, NULL, NULL);
}

int run_btrfs_tests(void)
{
	const struct CMUnitTest tests[] = {
		TEST(btrfs_removes_what_is_inside),
		TEST(btrfs_counts_changes),
		TEST(btrfs_seals_what_is_committed),
	};

	return cmocka_run_group_tests_name("btrfs", tests, NULL, NULL);
}

int run_blockfile_tests(void)
{
	const struct CMUnitTest tests[] = {
		TEST(blockfile_has_its_options),
		TEST(blockfile_needs_a_scratch_file),
		TEST(elsewhere_btrfs_is_skipped),
	};

	return cmocka_run_group_tests_name("blockfile", tests, NULL, NULL);
}
