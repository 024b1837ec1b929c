// SPDX-License-Identifier: Apache-2.0
/*
 * The contract of src/snapshot/driver.h as tests, run over every driver: `overlay`, `native`,
 * `memory`. Those that mount need root; they work in a mount namespace of their own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/strv.h"
#include "base/thread.h"
#include "snapshot/driver.h"
#include "sys/mountinfo.h"

#define OK(expr)                                                                                   \
	do {                                                                                       \
		autoptr(err) ok_err_ = (expr);                                                     \
		if (ok_err_)                                                                       \
			fail_msg("%s", err_message(ok_err_));                                      \
	} while (0)

#define SKIPPED 77
#define CHAIN_MAX 8

static enum { OVERLAY, NATIVE, MEMORY } kind;
static char work[] = "/tmp/test-snapshot-XXXXXX";
static char *target; /* where snapshots are mounted */

struct fixture {
	char *root;
	struct snapshot_driver *driver;
};

static int set_up(void **state)
{
	static int n;
	struct fixture *f = NEW(struct fixture);
	struct overlay_options options = {0};

	f->root = xasprintf("%s/root-%d", work, n++);
	OK(mkdir_p(f->root, 0700));
	if (kind == OVERLAY)
		OK(overlay_driver_open(f->root, &options, &f->driver));
	else if (kind == NATIVE)
		OK(native_driver_open(f->root, &f->driver));
	else
		OK(memory_driver_open(&f->driver));
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	autoval(strv) points = STRV_INIT;

	OK(mountinfo_below(work, &points));
	assert_int_equal(points.n, kind == MEMORY ? 0 : 1);
	snapshot_driver_close(f->driver);
	OK(remove_tree(f->root));
	free(f->root);
	free(f);
	return 0;
}

static struct snapshot_driver *driver_of(void **state)
{
	return ((struct fixture *)*state)->driver;
}

/* A snapshot over those whose ids follow, nearest first, ended by 0. */
struct chain {
	struct snapshot_chain c;
	uint64_t parents[CHAIN_MAX];
};

static struct snapshot_chain *chain(
	struct chain *c, enum snapshot_kind snapshot_kind, uint64_t id, const uint64_t *parents)
{
	*c = (struct chain){0};
	c->c.info.kind = snapshot_kind;
	c->c.info.id = id;
	c->c.parents = c->parents;
	while (parents && parents[c->c.n_parents]) {
		c->parents[c->c.n_parents] = parents[c->c.n_parents];
		c->c.n_parents++;
	}
	return &c->c;
}

#define PARENTS(...) ((const uint64_t[]){__VA_ARGS__, 0})
#define ALONE NULL

static void create(struct snapshot_driver *d, enum snapshot_kind snapshot_kind, uint64_t id,
	const uint64_t *parents)
{
	struct chain c;

	OK(snapshot_driver_create(d, chain(&c, snapshot_kind, id, parents)));
}

static void attach(struct snapshot_driver *d, enum snapshot_kind snapshot_kind, uint64_t id,
	const uint64_t *parents)
{
	autoval(mounts) m = MOUNTS_INIT;
	struct chain c;

	OK(snapshot_driver_mounts(d, chain(&c, snapshot_kind, id, parents), &m));
	OK(mounts_attach(&m, target));
}

static void detach(void)
{
	OK(mount_detach(target));
}

static void commit(struct snapshot_driver *d, uint64_t id, const uint64_t *parents)
{
	struct chain c;

	OK(snapshot_driver_commit(d, chain(&c, SNAPSHOT_ACTIVE, id, parents)));
}

static void put(const char *name, const char *text)
{
	autofree char *path = path_join(target, name);

	OK(file_write_atomic(path, text, strlen(text), 0644, false));
}

static void expect(const char *name, const char *want)
{
	autofree char *path = path_join(target, name);
	autofree char *text = NULL;

	OK(file_read(path, 1000, &text, NULL));
	assert_string_equal(text, want);
}

static bool exists(const char *name)
{
	autofree char *path = path_join(target, name);
	struct stat st;

	return lstat(path, &st) == 0;
}

static void drop(const char *name)
{
	autofree char *path = path_join(target, name);

	assert_int_equal(unlink(path), 0);
}

static bool writable(void)
{
	autofree char *path = path_join(target, "probe");
	autofd fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		unlink(path);
	return fd >= 0;
}

/* One committed layer with a file of its name. */
static void layer(struct snapshot_driver *d, uint64_t id, const uint64_t *parents, const char *name)
{
	create(d, SNAPSHOT_ACTIVE, id, parents);
	attach(d, SNAPSHOT_ACTIVE, id, parents);
	put(name, name);
	put("top", name);
	detach();
	commit(d, id, parents);
}

static void has_a_name(void **state)
{
	static const char *const names[] = {"overlayfs", "native", "memory"};

	assert_string_equal(snapshot_driver_name(driver_of(state)), names[kind]);
}

static void changes_stay_in_their_layer(void **state)
{
	struct snapshot_driver *d = driver_of(state);

	create(d, SNAPSHOT_ACTIVE, 1, ALONE);
	attach(d, SNAPSHOT_ACTIVE, 1, ALONE);
	put("a", "1");
	put("b", "1");
	detach();
	commit(d, 1, ALONE);
	create(d, SNAPSHOT_ACTIVE, 2, PARENTS(1));
	create(d, SNAPSHOT_ACTIVE, 3, PARENTS(1));
	attach(d, SNAPSHOT_ACTIVE, 2, PARENTS(1));
	expect("a", "1");
	put("a", "2");
	drop("b");
	put("c", "2");
	detach();
	attach(d, SNAPSHOT_ACTIVE, 3, PARENTS(1));
	expect("a", "1");
	expect("b", "1");
	assert_false(exists("c"));
	detach();
	/* And are there again when it is mounted the next time. */
	attach(d, SNAPSHOT_ACTIVE, 2, PARENTS(1));
	expect("a", "2");
	expect("c", "2");
	assert_false(exists("b"));
	detach();
}

static void nearest_layer_wins(void **state)
{
	struct snapshot_driver *d = driver_of(state);

	layer(d, 1, ALONE, "one");
	layer(d, 2, PARENTS(1), "two");
	layer(d, 3, PARENTS(2, 1), "three");
	layer(d, 4, PARENTS(3, 2, 1), "four");
	create(d, SNAPSHOT_ACTIVE, 5, PARENTS(4, 3, 2, 1));
	attach(d, SNAPSHOT_ACTIVE, 5, PARENTS(4, 3, 2, 1));
	expect("top", "four");
	expect("one", "one");
	expect("three", "three");
	assert_true(writable());
	detach();
}

static void views_are_read_only(void **state)
{
	struct snapshot_driver *d = driver_of(state);

	layer(d, 1, ALONE, "one");
	layer(d, 2, PARENTS(1), "two");
	create(d, SNAPSHOT_VIEW, 3, PARENTS(1));
	create(d, SNAPSHOT_VIEW, 4, PARENTS(2, 1));
	create(d, SNAPSHOT_VIEW, 5, ALONE);
	attach(d, SNAPSHOT_VIEW, 3, PARENTS(1));
	expect("top", "one");
	assert_false(exists("two"));
	assert_false(writable());
	detach();
	attach(d, SNAPSHOT_VIEW, 4, PARENTS(2, 1));
	expect("top", "two");
	expect("one", "one");
	assert_false(writable());
	detach();
	attach(d, SNAPSHOT_VIEW, 5, ALONE);
	assert_false(writable());
	detach();
}

static void root_keeps_owner_and_mode(void **state)
{
	struct snapshot_driver *d = driver_of(state);
	struct stat st;

	create(d, SNAPSHOT_ACTIVE, 1, ALONE);
	attach(d, SNAPSHOT_ACTIVE, 1, ALONE);
	assert_int_equal(stat(target, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(chown(target, 12, 34), 0);
	assert_int_equal(chmod(target, 01750), 0);
	detach();
	commit(d, 1, ALONE);
	create(d, SNAPSHOT_ACTIVE, 2, PARENTS(1));
	attach(d, SNAPSHOT_ACTIVE, 2, PARENTS(1));
	assert_int_equal(stat(target, &st), 0);
	assert_int_equal(st.st_uid, 12);
	assert_int_equal(st.st_gid, 34);
	assert_int_equal(st.st_mode & 07777, 01750);
	detach();
}

static void counts_what_it_has_alone(void **state)
{
	struct snapshot_driver *d = driver_of(state);
	autofree char *data = xcalloc(1, 65537);
	autofree char *a = path_join(target, "a");
	autofree char *b = path_join(target, "b");
	int64_t bytes = 0, inodes = 0, bytes2 = 0, inodes2 = 0;
	struct chain c;

	memset(data, 'x', 65536);
	create(d, SNAPSHOT_ACTIVE, 1, ALONE);
	attach(d, SNAPSHOT_ACTIVE, 1, ALONE);
	put("a", data);
	assert_int_equal(link(a, b), 0);
	detach();
	OK(snapshot_driver_usage(d, chain(&c, SNAPSHOT_ACTIVE, 1, ALONE), &bytes, &inodes));
	/* The root and one file with two names. */
	assert_int_equal(inodes, 2);
	assert_true(bytes >= 65536 && bytes < 2 * 65536);
	commit(d, 1, ALONE);
	create(d, SNAPSHOT_ACTIVE, 2, PARENTS(1));
	OK(snapshot_driver_usage(d, chain(&c, SNAPSHOT_ACTIVE, 2, PARENTS(1)), &bytes2, &inodes2));
	assert_int_equal(inodes2, kind == NATIVE ? 2 : 1);
	assert_true(kind == NATIVE || bytes2 < 65536);
}

struct ids {
	uint64_t items[16];
	size_t n;
};

static struct err *collect(uint64_t id, void *arg)
{
	struct ids *ids = arg;

	ids->items[ids->n++] = id;
	return NULL;
}

static void walks_and_removes(void **state)
{
	struct snapshot_driver *d = driver_of(state);
	struct ids ids = {0};

	OK(snapshot_driver_walk(d, collect, &ids));
	assert_int_equal(ids.n, 0);
	create(d, SNAPSHOT_ACTIVE, 1, ALONE);
	create(d, SNAPSHOT_VIEW, 18446744073709551615ULL, ALONE);
	OK(snapshot_driver_walk(d, collect, &ids));
	assert_int_equal(ids.n, 2);
	assert_true(ids.items[0] + ids.items[1] == 0);
	OK(snapshot_driver_remove(d, 18446744073709551615ULL));
	OK(snapshot_driver_remove(d, 18446744073709551615ULL));
	OK(snapshot_driver_remove(d, 4711));
	ids.n = 0;
	OK(snapshot_driver_walk(d, collect, &ids));
	assert_int_equal(ids.n, 1);
	assert_int_equal(ids.items[0], 1);
}

static void replaces_left_overs(void **state)
{
	struct snapshot_driver *d = driver_of(state);

	create(d, SNAPSHOT_ACTIVE, 1, ALONE);
	attach(d, SNAPSHOT_ACTIVE, 1, ALONE);
	put("stale", "x");
	detach();
	create(d, SNAPSHOT_ACTIVE, 1, ALONE);
	attach(d, SNAPSHOT_ACTIVE, 1, ALONE);
	assert_false(exists("stale"));
	detach();
}

static void missing_parent_fails_whole(void **state)
{
	struct snapshot_driver *d = driver_of(state);
	struct ids ids = {0};
	struct chain c;
	autoptr(err) e = snapshot_driver_create(d, chain(&c, SNAPSHOT_ACTIVE, 2, PARENTS(1)));

	assert_true(err_is(e, ERR_NOT_FOUND));
	OK(snapshot_driver_remove(d, 2));
	OK(snapshot_driver_walk(d, collect, &ids));
	assert_int_equal(ids.n, 0);
}

/* Deeper than any path can name: made one directory at a time. */
static void make_deep(unsigned depth)
{
	autofd at = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	while (depth--) {
		int next;

		assert_int_equal(mkdirat(at, "deep-directory", 0755), 0);
		next = openat(at, "deep-directory", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(at);
		at = next;
	}
}

static void check_deep_tree(struct snapshot_driver *d)
{
	int64_t bytes, inodes;
	struct ids ids = {0};
	struct chain c;

	create(d, SNAPSHOT_ACTIVE, 1, ALONE);
	attach(d, SNAPSHOT_ACTIVE, 1, ALONE);
	make_deep(5000);
	detach();
	OK(snapshot_driver_usage(d, chain(&c, SNAPSHOT_ACTIVE, 1, ALONE), &bytes, &inodes));
	assert_int_equal(inodes, 5001);
	if (kind == NATIVE) {
		autoptr(err) e =
			snapshot_driver_create(d, chain(&c, SNAPSHOT_ACTIVE, 2, PARENTS(1)));

		assert_true(err_is(e, ERR_EXHAUSTED));
		OK(snapshot_driver_remove(d, 2));
	}
	OK(snapshot_driver_remove(d, 1));
	OK(snapshot_driver_walk(d, collect, &ids));
	assert_int_equal(ids.n, 0);
}

static void *check_deep_tree_thread(void *arg)
{
	check_deep_tree(arg);
	return NULL;
}

/* With the stack and the descriptors that the daemon's threads have. */
static void deep_trees_do_no_harm(void **state)
{
	struct rlimit old, low;
	pthread_t thread;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = (struct rlimit){MIN((rlim_t)1024, old.rlim_cur), old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	OK(thread_start("deep", check_deep_tree_thread, driver_of(state), &thread));
	pthread_join(thread, NULL);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

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

/* Everything a file system keeps of a file. */
static void make_zoo(void)
{
	autofree char *file = path_join(target, "file");
	autofree char *other = path_join(target, "dir/other-name");
	autofree char *dir = path_join(target, "dir");
	autofree char *link_path = path_join(target, "link");
	autofree char *device = path_join(target, "device");
	autofree char *fifo = path_join(target, "fifo");
	autofree char *sparse = path_join(target, "sparse");
	const struct timespec times[] = {{1000, 0}, {1234567, 891011}};
	autofd fd = -1;

	assert_int_equal(mkdir(dir, 0711), 0);
	put("file", "content");
	assert_int_equal(setxattr(file, "trusted.zoo", "animal", 6, 0), 0);
	assert_int_equal(chown(file, 5, 6), 0);
	assert_int_equal(chmod(file, 04751), 0);
	assert_int_equal(link(file, other), 0);
	assert_int_equal(symlink("/no/where", link_path), 0);
	assert_int_equal(mknod(device, S_IFCHR | 0600, makedev(1, 3)), 0);
	assert_int_equal(mkfifo(fifo, 0622), 0);
	fd = open(sparse, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 100 << 20), 0);
	assert_int_equal(pwrite(fd, "end", 3, (100 << 20) - 3), 3);
	assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, dir, times, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, link_path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static struct stat stat_of(const char *name)
{
	autofree char *path = path_join(target, name);
	struct stat st = {0};

	assert_int_equal(lstat(path, &st), 0);
	return st;
}

static void check_zoo(void)
{
	autofree char *file = path_join(target, "file");
	autofree char *link_path = path_join(target, "link");
	struct stat a = stat_of("file"), b = stat_of("dir/other-name"), s = stat_of("sparse");
	char value[16] = {0};
	char text[16] = {0};

	expect("file", "content");
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(a.st_nlink, 2);
	assert_int_equal(a.st_mode, S_IFREG | 04751);
	assert_int_equal(a.st_uid, 5);
	assert_int_equal(a.st_gid, 6);
	assert_int_equal(a.st_mtim.tv_sec, 1234567);
	assert_int_equal(a.st_mtim.tv_nsec, 891011);
	assert_int_equal(getxattr(file, "trusted.zoo", value, sizeof(value)), 6);
	assert_string_equal(value, "animal");
	assert_int_equal(stat_of("dir").st_mode, S_IFDIR | 0711);
	assert_int_equal(stat_of("dir").st_mtim.tv_sec, 1234567);
	assert_int_equal(readlink(link_path, text, sizeof(text)), 9);
	assert_int_equal(stat_of("link").st_mtim.tv_sec, 1234567);
	assert_int_equal(stat_of("device").st_rdev, makedev(1, 3));
	assert_int_equal(stat_of("fifo").st_mode, S_IFIFO | 0622);
	assert_int_equal(s.st_size, 100 << 20);
	assert_true(s.st_blocks * 512 < 1 << 20);
}

static void files_come_through_whole(void **state)
{
	struct snapshot_driver *d = driver_of(state);

	umask(0);
	create(d, SNAPSHOT_ACTIVE, 1, ALONE);
	attach(d, SNAPSHOT_ACTIVE, 1, ALONE);
	make_zoo();
	detach();
	commit(d, 1, ALONE);
	create(d, SNAPSHOT_ACTIVE, 2, PARENTS(1));
	attach(d, SNAPSHOT_ACTIVE, 2, PARENTS(1));
	check_zoo();
	detach();
	umask(022);
}

/* A tmpfs of our own: it goes away with the namespace. */
static int make_work(void)
{
	autoval(mounts) m = MOUNTS_INIT;

	if (!mkdtemp(work))
		return 1;
	if (kind != MEMORY) {
		if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0) {
			rmdir(work);
			return SKIPPED;
		}
		if (mount("", "/", "", MS_REC | MS_PRIVATE, NULL) < 0)
			return 1;
		strv_add(&mounts_add(&m, "tmpfs", "tmpfs", "")->options, "size=64m,mode=0755");
		OK(mounts_attach(&m, work));
	}
	target = path_join(work, "target");
	OK(mkdir_p(target, 0755));
	return 0;
}

static int run(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest common[] = {
		TEST(has_a_name),
		TEST(walks_and_removes),
		TEST(missing_parent_fails_whole),
	};
	const struct CMUnitTest mounting[] = {
		TEST(changes_stay_in_their_layer),
		TEST(nearest_layer_wins),
		TEST(views_are_read_only),
		TEST(root_keeps_owner_and_mode),
		TEST(counts_what_it_has_alone),
		TEST(replaces_left_overs),
		TEST(deep_trees_do_no_harm),
		TEST(files_come_through_whole),
	};
	const struct CMUnitTest overlay[] = {
		TEST(overlay_options_have_their_order),
		TEST(overlay_maps_root),
		TEST(overlay_shows_mapped_ids),
		TEST(overlay_refuses_bad_mappings),
		TEST(overlay_tells_what_it_can),
	};
	int failed = cmocka_run_group_tests(common, NULL, NULL);

	if (kind != MEMORY)
		failed += cmocka_run_group_tests(mounting, NULL, NULL);
	if (kind == OVERLAY)
		failed += cmocka_run_group_tests(overlay, NULL, NULL);
	return failed;
}

int main(int argc, char **argv)
{
	static const char *const names[] = {"overlay", "native", "memory"};
	bool known = false;
	int r;

	for (size_t i = 0; argc == 2 && i < ARRAY_LEN(names); i++) {
		if (strcmp(argv[1], names[i]) == 0) {
			kind = (__typeof__(kind))i;
			known = true;
		}
	}
	if (!known) {
		fprintf(stderr, "usage: %s overlay|native|memory\n", argv[0]);
		return 2;
	}
	r = make_work();
	if (r)
		return r;
	r = run();
	if (kind != MEMORY)
		OK(mount_detach(work));
	OK(remove_tree(work));
	free(target);
	return r;
}
