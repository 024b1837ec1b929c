// SPDX-License-Identifier: Apache-2.0
/*
 * The contract of src/snapshot/driver.h as tests, run over every driver: `overlay`, `native`,
 * `btrfs`, `blockfile`, `memory`. Those that mount need root; they work in a mount namespace of
 * their own, and those that need a file system make it in a file and mount that.
 */
#include "tests/conformance/snapshot-suite.h"

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
#include "sys/mountinfo.h"
#include "sys/spawn.h"

#define SKIPPED 77

static enum { OVERLAY, NATIVE, BTRFS, BLOCKFILE, MEMORY } kind;
static char work[] = "/tmp/test-snapshot-XXXXXX";
char *target;	      /* where snapshots are mounted */
static char *scratch; /* the image that blockfile begins with */
static char *disk;    /* where a file system of its own is mounted that a driver needs */

int set_up(void **state)
{
	static int n;
	struct fixture *f = NEW(struct fixture);
	struct overlay_options options = {0};
	struct blockfile_options images = {.scratch_file = scratch};

	f->root = xasprintf("%s/root-%d", disk ? disk : work, n++);
	OK(mkdir_p(f->root, 0700));
	if (kind == OVERLAY)
		OK(overlay_driver_open(f->root, &options, &f->driver));
	else if (kind == NATIVE)
		OK(native_driver_open(f->root, &f->driver));
	else if (kind == BTRFS)
		OK(btrfs_driver_open(f->root, &f->driver));
	else if (kind == BLOCKFILE)
		OK(blockfile_driver_open(f->root, &images, &f->driver));
	else
		OK(memory_driver_open(&f->driver));
	*state = f;
	return 0;
}

static struct err *drop_files(uint64_t id, void *arg)
{
	return snapshot_driver_remove(arg, id);
}

int tear_down(void **state)
{
	struct fixture *f = *state;
	autoval(strv) points = STRV_INIT;

	OK(mountinfo_below(work, &points));
	assert_int_equal(points.n, kind == MEMORY ? 0 : disk ? 2 : 1);
	OK(snapshot_driver_walk(f->driver, drop_files, f->driver));
	snapshot_driver_close(f->driver);
	OK(remove_tree(f->root));
	free(f->root);
	free(f);
	return 0;
}

struct snapshot_driver *driver_of(void **state)
{
	return ((struct fixture *)*state)->driver;
}

struct snapshot_chain *chain(
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

void create(struct snapshot_driver *d, enum snapshot_kind snapshot_kind, uint64_t id,
	const uint64_t *parents)
{
	struct chain c;

	OK(snapshot_driver_create(d, chain(&c, snapshot_kind, id, parents)));
}

void attach(struct snapshot_driver *d, enum snapshot_kind snapshot_kind, uint64_t id,
	const uint64_t *parents)
{
	autoval(mounts) m = MOUNTS_INIT;
	struct chain c;

	OK(snapshot_driver_mounts(d, chain(&c, snapshot_kind, id, parents), &m));
	OK(mounts_attach(&m, target));
}

void detach(void)
{
	OK(mount_detach(target));
}

void commit(struct snapshot_driver *d, uint64_t id, const uint64_t *parents)
{
	struct chain c;

	OK(snapshot_driver_commit(d, chain(&c, SNAPSHOT_ACTIVE, id, parents)));
}

void put(const char *name, const char *text)
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

void drop(const char *name)
{
	autofree char *path = path_join(target, name);

	assert_int_equal(unlink(path), 0);
}

bool writable(void)
{
	autofree char *path = path_join(target, "probe");
	autofd fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		unlink(path);
	return fd >= 0;
}

/* One committed layer with a file of its name. */
void layer(struct snapshot_driver *d, uint64_t id, const uint64_t *parents, const char *name)
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
	static const char *const names[] = {"overlayfs", "native", "btrfs", "blockfile", "memory"};

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
	assert_int_equal(inodes, kind == BLOCKFILE ? 1 : 2);
	assert_true(bytes >= 65536 && (kind == BLOCKFILE || bytes < 2 * 65536));
	commit(d, 1, ALONE);
	create(d, SNAPSHOT_ACTIVE, 2, PARENTS(1));
	OK(snapshot_driver_usage(d, chain(&c, SNAPSHOT_ACTIVE, 2, PARENTS(1)), &bytes2, &inodes2));
	assert_int_equal(inodes2, kind == NATIVE ? 2 : kind == BTRFS ? 0 : 1);
	assert_true(kind == NATIVE || bytes2 < 65536);
}

struct err *collect(uint64_t id, void *arg)
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
	assert_int_equal(inodes, kind == BLOCKFILE ? 1 : 5001);
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

/* An image with a file system; false with the reason where the program is missing. */
static bool make_image(const char *path, off_t size, char *const argv[])
{
	autofree char *program = path_join("/sbin", argv[0]);
	struct spawn_options options = {.path = program, .argv = argv};
	autoval(spawn_result) r = {0};
	autofd fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	autoptr(err) e = NULL;

	assert_int_equal(ftruncate(fd, size), 0);
	e = spawn_run(&options, NULL, 0, 4096, -1, NULL, &r);
	if (!e && r.status != 0)
		e = err_new(ERR_UNKNOWN, "%s: %s", program, r.err_out);
	if (e)
		fprintf(stderr, "skipped: %s\n", err_message(e));
	return !e;
}

static bool make_scratch(void)
{
	char *argv[] = {
		(char *)"mkfs.ext4", (char *)"-qF", (char *)"-b1024", (char *)"-N8192", NULL, NULL};

	scratch = argv[4] = path_join(work, "scratch.ext4");
	return make_image(scratch, 32 << 20, argv);
}

static bool make_btrfs(void)
{
	autofree char *image = path_join(work, "disk.btrfs");
	char *argv[] = {(char *)"mkfs.btrfs", (char *)"-q", image, NULL};
	autoval(mounts) m = MOUNTS_INIT;

	if (!make_image(image, 256 << 20, argv))
		return false;
	disk = path_join(work, "disk");
	OK(mkdir_p(disk, 0755));
	strv_add(&mounts_add(&m, "btrfs", image, "")->options, "loop");
	OK(mounts_attach(&m, disk));
	return true;
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
		strv_add(&mounts_add(&m, "tmpfs", "tmpfs", "")->options, "size=256m,mode=0755");
		OK(mounts_attach(&m, work));
	}
	target = path_join(work, "target");
	OK(mkdir_p(target, 0755));
	if ((kind == BTRFS && !make_btrfs()) || (kind == BLOCKFILE && !make_scratch()))
		return SKIPPED;
	return 0;
}

static void drop_work(void)
{
	if (disk)
		OK(mount_detach(disk));
	if (kind != MEMORY)
		OK(mount_detach(work));
	OK(remove_tree(work));
	free(target);
	free(scratch);
	free(disk);
}

static int run(void)
{
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
	int failed = cmocka_run_group_tests(common, NULL, NULL);

	if (kind != MEMORY)
		failed += cmocka_run_group_tests(mounting, NULL, NULL);
	if (kind == OVERLAY)
		failed += run_overlay_tests();
	if (kind == BTRFS)
		failed += run_btrfs_tests();
	if (kind == BLOCKFILE)
		failed += run_blockfile_tests();
	return failed;
}

int main(int argc, char **argv)
{
	static const char *const names[] = {"overlay", "native", "btrfs", "blockfile", "memory"};
	bool known = false;
	int r;

	for (size_t i = 0; argc == 2 && i < ARRAY_LEN(names); i++) {
		if (strcmp(argv[1], names[i]) == 0) {
			kind = (__typeof__(kind))i;
			known = true;
		}
	}
	if (!known) {
		fprintf(stderr, "usage: %s overlay|native|btrfs|blockfile|memory\n", argv[0]);
		return 2;
	}
	r = make_work();
	/* Without a namespace there is nothing to run in, and nothing to take down. */
	if (r && !target)
		return r;
	if (!r)
		r = run();
	drop_work();
	return r;
}
