// SPDX-License-Identifier: Apache-2.0
#include "namespaced/snapshots.h"

#include "tests/unit/meta/fixture.h"

/* All tests run over each of the drivers. */
static bool on_disk;

#define SN (on_disk ? "native" : "memory")

static struct strmap none;

struct world {
	struct fixture *f;
	struct snapshots *snapshots;
	struct snapshot_driver *driver; /* owned by snapshots */
};

static struct snapshot_driver *open_driver(struct fixture *f)
{
	autofree char *root = path_join(f->dir, "snapshots");
	struct snapshot_driver *d = NULL;

	ok(on_disk ? native_driver_open(root, &d) : memory_driver_open(&d));
	return d;
}

static void world_open(struct world *w, struct fixture *f)
{
	w->f = f;
	w->snapshots = snapshots_new(f->meta);
	w->driver = open_driver(f);
	ok(snapshots_add_driver(w->snapshots, w->driver));
}

static struct err *count_id(uint64_t id, void *arg)
{
	++*(size_t *)arg;
	return NULL;
}

static size_t files(struct world *w)
{
	size_t n = 0;

	ok(snapshot_driver_walk(w->driver, count_id, &n));
	return n;
}

static void prepare(struct world *w, const char *key, const char *parent)
{
	autoval(mounts) m = MOUNTS_INIT;

	ok(snapshot_prepare(w->snapshots, &in_test, SN, key, parent, &none, &m));
	assert_int_equal(m.n, 1);
}

static void layer(struct world *w, const char *name, const char *parent)
{
	autofree char *key = xasprintf("extract-%s", name);

	prepare(w, key, parent);
	ok(snapshot_commit(w->snapshots, &in_test, SN, key, name, NULL, &none));
}

static void test_files_can_go_at_once(void **state)
{
	struct world w;

	world_open(&w, *state);
	prepare(&w, "later", "");
	ok(snapshot_remove(w.snapshots, &in_test, SN, "later"));
	assert_int_equal(files(&w), 1);
	w.driver->sync_remove = true;
	prepare(&w, "now", "");
	assert_int_equal(files(&w), 2);
	ok(snapshot_remove(w.snapshots, &in_test, SN, "now"));
	assert_int_equal(files(&w), 0);
	snapshots_free(w.snapshots);
}

static void show_id(struct snapshot_driver *d, uint64_t id, struct strmap *labels)
{
	strmap_set(labels, "shown", id % 2 ? "odd" : "even");
}

static void test_drivers_show_labels(void **state)
{
	struct world w;
	struct snapshot_driver_ops ops;
	autoval(snapshot_info) info = {0}, updated = {0};
	autoval(snapshot_list) odd = {0}, all = {0};
	const char *const filters[] = {"labels.shown==odd"};

	world_open(&w, *state);
	ops = *w.driver->ops;
	ops.labels = show_id;
	w.driver->ops = &ops;
	w.driver->shows_labels = true;
	prepare(&w, "a", "");
	prepare(&w, "b", "");
	ok(snapshot_stat(w.snapshots, &in_test, SN, "a", &info));
	assert_string_equal(strmap_get(&info.labels, "shown"), info.id % 2 ? "odd" : "even");
	ok(snapshot_update(w.snapshots, &in_test, SN, "a", &none, NULL, 0, &updated));
	assert_non_null(strmap_get(&updated.labels, "shown"));
	ok(snapshot_walk(w.snapshots, &in_test, SN, NULL, 0, &all));
	assert_int_equal(all.n, 2);
	ok(snapshot_walk(w.snapshots, &in_test, SN, (char *const *)filters, 1, &odd));
	assert_int_equal(odd.n, 1);
	assert_string_equal(odd.items[0].name, info.id % 2 ? "a" : "b");
	snapshots_free(w.snapshots);
}

/* A view has nothing of its own, whatever its parent has. */
static void test_views_use_nothing(void **state)
{
	struct world w;
	autoval(mounts) m = MOUNTS_INIT;
	int64_t bytes = -1, inodes = -1;

	world_open(&w, *state);
	layer(&w, "base", "");
	ok(snapshot_view(w.snapshots, &in_test, SN, "v", "base", &none, &m));
	ok(snapshot_usage(w.snapshots, &in_test, SN, "v", &bytes, &inodes));
	assert_int_equal(bytes, 0);
	assert_int_equal(inodes, 0);
	snapshots_free(w.snapshots);
}

static void test_life_of_a_container(void **state)
{
	struct world w;
	autoval(strv) seen = STRV_INIT;
	autoval(snapshot_info) info = {0};
	autoval(mounts) m = MOUNTS_INIT, view = MOUNTS_INIT;
	int64_t bytes, inodes;

	world_open(&w, *state);
	meta_set_observer(w.f->meta, observe_into, &seen);
	layer(&w, "base", "");
	layer(&w, "top", "base");
	prepare(&w, "c1", "top");
	ok(snapshot_view(w.snapshots, &in_test, SN, "v1", "top", &none, &view));
	ok(snapshot_mounts(w.snapshots, &in_test, SN, "c1", &m));
	ok(snapshot_stat(w.snapshots, &in_test, SN, "c1", &info));
	assert_string_equal(info.parent, "top");
	assert_int_equal(info.kind, SNAPSHOT_ACTIVE);
	ok(snapshot_usage(w.snapshots, &in_test, SN, "top", &bytes, &inodes));
	assert_int_equal(files(&w), 4);
	refused(snapshot_remove(w.snapshots, &in_test, SN, "top"), ERR_PRECONDITION,
		"cannot remove snapshot with child: failed precondition");
	refused(snapshot_remove(w.snapshots, &in_other, SN, "c1"), ERR_NOT_FOUND,
		"snapshot c1 does not exist: not found");
	ok(snapshot_remove(w.snapshots, &in_test, SN, "c1"));
	ok(snapshot_remove(w.snapshots, &in_test, SN, "v1"));
	/* The row is gone; the files are the collector's. */
	assert_int_equal(files(&w), 4);
	ok(snapshot_cleanup(w.snapshots, SN));
	assert_int_equal(files(&w), 2);
	assert_int_equal(seen.n, 7); /* 3 prepare, 2 commit, 2 remove; a view tells nobody */
	snapshots_free(w.snapshots);
}

static void test_refusals(void **state)
{
	struct world w;
	autoval(mounts) m = MOUNTS_INIT;
	autoval(strmap) target = STRMAP_INIT;

	world_open(&w, *state);
	layer(&w, "base", "");
	prepare(&w, "c1", "base");
	refused(snapshot_prepare(w.snapshots, &in_test, "zfs", "k", "", &none, &m), ERR_INVALID,
		"snapshotter not loaded: zfs: invalid argument");
	refused(snapshot_prepare(w.snapshots, &in_test, SN, "c1", "", &none, &m), ERR_EXISTS,
		"snapshot \"c1\": already exists");
	refused(snapshot_prepare(w.snapshots, &in_test, SN, "c2", "nope", &none, &m), ERR_NOT_FOUND,
		"parent snapshot nope does not exist: not found");
	refused(snapshot_prepare(w.snapshots, &in_test, SN, "c2", "c1", &none, &m), ERR_INVALID,
		"parent \"c1\" is not committed snapshot: invalid argument");
	labels_set(&target, "containerd.io/snapshot.ref=base", NULL);
	refused(snapshot_prepare(w.snapshots, &in_test, SN, "c2", "", &target, &m), ERR_EXISTS,
		"target snapshot \"base\": already exists");
	refused(snapshot_mounts(w.snapshots, &in_test, SN, "base", &m), ERR_PRECONDITION,
		"requested snapshot base not active or view: failed precondition");
	refused(snapshot_commit(w.snapshots, &in_test, SN, "c1", "base", NULL, &none), ERR_EXISTS,
		"snapshot \"base\": already exists");
	refused(snapshot_commit(w.snapshots, &in_test, SN, "nope", "n", NULL, &none), ERR_NOT_FOUND,
		"snapshot nope does not exist: not found");
	ok(snapshot_view(w.snapshots, &in_test, SN, "v1", "base", &none, &m));
	refused(snapshot_commit(w.snapshots, &in_test, SN, "v1", "n", NULL, &none),
		ERR_PRECONDITION, "snapshot \"v1\" is not active: failed precondition");
	assert_int_equal(files(&w), 3);
	snapshots_free(w.snapshots);
}

static void test_rebase_on_commit(void **state)
{
	struct world w;
	autoval(snapshot_chain) chain = {0};

	world_open(&w, *state);
	layer(&w, "base", "");
	prepare(&w, "a", "");
	ok(snapshot_commit(w.snapshots, &in_test, SN, "a", "top", "base", &none));
	ok(snapshots_get(w.f->meta, &in_test, SN, "top", &chain));
	assert_string_equal(chain.info.parent, "base");
	assert_int_equal(chain.n_parents, 1);
	snapshots_free(w.snapshots);
}

static void test_update_and_walk(void **state)
{
	static const struct {
		const char *filter;
		size_t n;
	} cases[] = {{"kind==committed", 2}, {"kind==active", 1}, {"parent==base", 1},
		{"name~=^[bt]", 2}, {"labels.x==1", 1}};
	struct world w;
	autoval(strmap) labels = STRMAP_INIT;
	autoval(snapshot_info) info = {0};
	char *path[] = {(char[]){"labels.x"}}, *bad[] = {(char[]){"parent"}};

	world_open(&w, *state);
	layer(&w, "base", "");
	layer(&w, "top", "base");
	prepare(&w, "c1", "top");
	labels_set(&labels, "x=1", "y=2", NULL);
	ok(snapshot_update(w.snapshots, &in_test, SN, "c1", &labels, path, 1, &info));
	assert_int_equal(info.labels.n, 1);
	refused(snapshot_update(w.snapshots, &in_test, SN, "c1", &labels, bad, 1, &info),
		ERR_INVALID, "cannot update \"parent\" field on snapshot \"c1\": invalid argument");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(snapshot_list) list = {0};

		ok(snapshot_walk(
			w.snapshots, &in_test, SN, (char *const *)&cases[i].filter, 1, &list));
		if (list.n != cases[i].n)
			fail_msg("%s: %zu", cases[i].filter, list.n);
	}
	snapshots_free(w.snapshots);
}

/* A driver that fails leaves no row; a restart leaves no files without one. */
static void test_what_a_crash_leaves(void **state)
{
	struct fixture *f = *state;
	autoval(snapshot_chain) orphan = {0}, reserved = {0};
	struct snapshot_driver *d;
	struct snapshots *s;
	size_t n = 0;
	bool known;

	/* Reserved with files, and never published; and files of a row that never was. */
	d = open_driver(f);
	ok(snapshots_reserve(f->meta, &in_test, SN, "k", "", SNAPSHOT_ACTIVE, &none, &reserved));
	ok(snapshot_driver_create(d, &reserved));
	orphan.info.id = 4711;
	ok(snapshot_driver_create(d, &orphan));
	refused(snapshots_publish(f->meta, &in_other, SN, "k"), ERR_NOT_FOUND, NULL);
	fixture_reopen(f);
	ok(snapshots_known(f->meta, SN, reserved.info.id, &known));
	assert_false(known);
	s = snapshots_new(f->meta);
	ok(snapshots_add_driver(s, d));
	ok(snapshot_driver_walk(d, count_id, &n));
	assert_int_equal(n, 0);
	snapshots_free(s);
}

static struct err *no_files(struct snapshot_driver *d, const struct snapshot_chain *c)
{
	return err_new(ERR_EXHAUSTED, "no space");
}

static void test_failing_driver(void **state)
{
	struct fixture *f = *state;
	struct snapshot_driver_ops ops;
	struct snapshot_driver *d;
	struct snapshots *s = snapshots_new(f->meta);
	autoval(mounts) m = MOUNTS_INIT;
	autoval(snapshot_list) list = {0};
	autoval(snapshot_ids) stale = {0};

	d = open_driver(f);
	ops = *d->ops;
	ops.create = no_files;
	d->ops = &ops;
	ok(snapshots_add_driver(s, d));
	refused(snapshot_prepare(s, &in_test, SN, "k", "", &none, &m), ERR_EXHAUSTED, NULL);
	ok(snapshot_walk(s, &in_test, SN, NULL, 0, &list));
	assert_int_equal(list.n, 0);
	ok(snapshots_stale(f->meta, SN, &stale));
	assert_int_equal(stale.n, 0);
	snapshots_free(s);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_life_of_a_container),
		T(test_refusals),
		T(test_rebase_on_commit),
		T(test_update_and_walk),
		T(test_what_a_crash_leaves),
		T(test_failing_driver),
		T(test_files_can_go_at_once),
		T(test_drivers_show_labels),
		T(test_views_use_nothing),
	};

	int failed = cmocka_run_group_tests_name("memory", tests, NULL, NULL);

	on_disk = true;
	return failed + cmocka_run_group_tests_name("native", tests, NULL, NULL);
}
