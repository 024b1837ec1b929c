// SPDX-License-Identifier: Apache-2.0
#include "namespaced/content.h"

#include <unistd.h>

#include "meta/leases.h"
#include "namespaced/collector.h"
#include "tests/unit/meta/fixture.h"

static struct strmap none;

/* Nothing by itself: each test says when to collect. */
static const struct collector_options on_demand = {.pause_threshold = 0.02};

struct world {
	struct fixture *f;
	struct content_store *store;
	struct content *content;
	struct snapshots *snapshots;
	struct collector *collector;
};

/* All tests run over each of the stores. */
static bool on_disk;

static int setup(void **state)
{
	struct world *w = NEW(struct world);

	fixture_setup((void **)&w->f);
	if (on_disk) {
		autofree char *root = path_join(w->f->dir, "content");

		ok(content_local_open(root, &w->store));
	} else {
		ok(content_memory_open(&w->store));
	}
	w->content = content_new(w->f->meta, w->store);
	w->snapshots = snapshots_new(w->f->meta);
	ok(collector_new(w->f->meta, w->store, w->snapshots, &on_demand, &w->collector));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	collector_free(w->collector);
	snapshots_free(w->snapshots);
	content_free(w->content);
	content_close(w->store);
	fixture_teardown((void **)&w->f);
	free(w);
	return 0;
}

static struct err *count_blob(const char *digest, int64_t size, void *arg)
{
	++*(size_t *)arg;
	return NULL;
}

static struct err *count_key(const char *key, void *arg)
{
	++*(size_t *)arg;
	return NULL;
}

static size_t files(struct world *w)
{
	size_t n = 0;

	ok(content_walk(w->store, count_blob, &n));
	ok(content_walk_ingests(w->store, count_key, &n));
	return n;
}

static void put(struct world *w, const struct scope *s, const char *text,
	const struct strmap *labels, char digest[static DIGEST_MAX])
{
	struct content_ingest *i = NULL;

	digest_of(text, strlen(text), digest);
	ok(content_ingest_open(w->content, s, "ref", (int64_t)strlen(text), NULL, &i));
	ok(content_ingest_write(i, 0, text, strlen(text)));
	ok(content_ingest_commit(i, (int64_t)strlen(text), digest, labels));
}

static void test_write_read_delete(void **state)
{
	struct world *w = *state;
	autoval(strmap) labels = STRMAP_INIT;
	autoval(blob_info) info = {0};
	autoval(strv) seen = STRV_INIT;
	char digest[DIGEST_MAX], text[6] = "";
	struct content_ingest *i = NULL;
	autofd fd = -1;
	int64_t size;

	meta_set_observer(w->f->meta, observe_into, &seen);
	labels_set(&labels, "containerd.io/gc.root=now", NULL);
	put(w, &in_test, "hello", &labels, digest);
	ok(content_info(w->content, &in_test, digest, &info));
	assert_int_equal(info.size, 5);
	assert_int_equal(info.labels.n, 1);
	ok(content_read(w->content, &in_test, digest, &fd, &size));
	assert_int_equal(pread(fd, text, 5, 0), 5);
	assert_string_equal(text, "hello");
	refused(content_read(w->content, &in_other, digest, &fd, &size), ERR_NOT_FOUND, NULL);
	refused(content_ingest_open(w->content, &in_test, "r2", 5, digest, &i), ERR_EXISTS, NULL);
	ok(collector_run(w->collector, NULL));
	assert_int_equal(files(w), 1);
	ok(content_delete(w->content, &in_test, digest));
	refused(content_delete(w->content, &in_test, digest), ERR_NOT_FOUND, NULL);
	ok(collector_run(w->collector, NULL));
	assert_int_equal(files(w), 0);
	assert_int_equal(seen.n, 2);
}

static void test_resume_and_abort(void **state)
{
	struct world *w = *state;
	struct content_ingest *i = NULL, *locked = NULL;
	autoval(ingest_status) st = {0}, now = {0};
	autoval(ingest_status_list) list = {0}, others = {0}, after = {0};

	ok(content_ingest_open(w->content, &in_test, "layer", 10, NULL, &i));
	ok(content_ingest_write(i, 0, "01234", 5));
	refused(content_ingest_open(w->content, &in_test, "layer", 10, NULL, &locked),
		ERR_UNAVAILABLE, NULL);
	refused(content_ingest_write(i, 6, "x", 1), ERR_RANGE,
		"write @6 must occur at current offset 5");
	content_ingest_close(i);
	ok(content_ingest_status(w->content, &in_test, "layer", &st));
	assert_string_equal(st.key, "layer");
	assert_int_equal(st.offset, 5);
	ok(content_ingest_list(w->content, &in_test, NULL, 0, &list));
	assert_int_equal(list.n, 1);
	ok(content_ingest_list(w->content, &in_other, NULL, 0, &others));
	assert_int_equal(others.n, 0);
	ok(content_ingest_open(w->content, &in_test, "layer", 10, NULL, &i));
	content_ingest_current(i, &now);
	assert_int_equal(now.offset, 5);
	content_ingest_close(i);
	ok(collector_run(w->collector, NULL));
	assert_int_equal(files(w), 1); /* no lease, but not a day old */
	refused(content_ingest_abort(w->content, &in_other, "layer"), ERR_NOT_FOUND,
		"reference layer: not found");
	ok(content_ingest_abort(w->content, &in_test, "layer"));
	refused(content_ingest_status(w->content, &in_test, "layer", &st), ERR_NOT_FOUND,
		"reference layer: not found");
	ok(content_ingest_list(w->content, &in_test, NULL, 0, &after));
	assert_int_equal(after.n, 0);
	assert_int_equal(files(w), 0);
}

/* A blob of another namespace comes by naming it; the labels come with the commit. */
static void test_sharing(void **state)
{
	struct world *w = *state;
	autoval(strmap) root = STRMAP_INIT;
	autoval(ingest_status) st = {0};
	autoval(blob_info) info = {0};
	struct content_ingest *i = NULL;
	char digest[DIGEST_MAX], got[DIGEST_MAX];

	labels_set(&root, "containerd.io/gc.root=1", NULL);
	put(w, &in_test, "shared text", &root, digest);
	ok(content_ingest_open(w->content, &in_other, "r", 11, digest, &i));
	content_ingest_current(i, &st);
	assert_int_equal(st.offset, 11);
	content_ingest_digest(i, got);
	assert_string_equal(got, digest);
	/* Gone from the first namespace: the ingest keeps the file. */
	ok(content_delete(w->content, &in_test, digest));
	ok(collector_run(w->collector, NULL));
	assert_int_equal(files(w), 1);
	ok(content_ingest_commit(i, 11, digest, &root));
	ok(content_info(w->content, &in_other, digest, &info));
	assert_string_equal(strmap_get(&info.labels, "containerd.io/gc.root"), "1");
	ok(collector_run(w->collector, NULL));
	assert_int_equal(files(w), 1);
}

/* Who shares and then writes something else gets an ingest of his own. */
static void test_unsharing(void **state)
{
	struct world *w = *state;
	autoval(strmap) root = STRMAP_INIT;
	struct content_ingest *i = NULL;
	char digest[DIGEST_MAX], other[DIGEST_MAX];

	labels_set(&root, "containerd.io/gc.root=1", NULL);
	put(w, &in_test, "shared text", &root, digest);
	digest_of("shared bits", 11, other);
	ok(content_ingest_open(w->content, &in_other, "r", 0, digest, &i));
	ok(content_ingest_write(i, 7, "bits", 4));
	ok(content_ingest_commit(i, 11, other, &root));
	assert_int_equal(files(w), 2);
	/* A wrong size announced: nothing is shared. */
	ok(content_ingest_open(w->content, &in_other, "r", 12, digest, &i));
	content_ingest_close(i);
	assert_int_equal(files(w), 3);
}

static void test_commit_refusals(void **state)
{
	struct world *w = *state;
	struct content_ingest *i = NULL;
	char digest[DIGEST_MAX];
	autoval(strmap) root = STRMAP_INIT;

	digest_of("abc", 3, digest);
	ok(content_ingest_open(w->content, &in_test, "r", 0, NULL, &i));
	ok(content_ingest_write(i, 0, "abd", 3));
	refused(content_ingest_commit(i, 4, NULL, &none), ERR_PRECONDITION,
		"\"r\" failed size validation: 3 != 4: failed precondition");
	ok(content_ingest_open(w->content, &in_test, "r", 0, NULL, &i));
	refused(content_ingest_commit(i, 3, digest, &none), ERR_PRECONDITION, NULL);
	ok(content_ingest_open(w->content, &in_test, "r", 0, NULL, &i));
	ok(content_ingest_write(i, 2, "c", 1));
	labels_set(&root, "containerd.io/gc.root=1", NULL);
	ok(content_ingest_commit(i, 3, digest, &root));
	/* The same once more, without a promise at the start. */
	ok(content_ingest_open(w->content, &in_test, "again", 0, NULL, &i));
	ok(content_ingest_write(i, 0, "abc", 3));
	refused(content_ingest_commit(i, 3, digest, &root), ERR_EXISTS, NULL);
	refused(content_ingest_status(w->content, &in_test, "again", &(struct ingest_status){0}),
		ERR_NOT_FOUND, NULL);
	assert_int_equal(files(w), 1);
}

static void test_lease(void **state)
{
	struct world *w = *state;
	const struct scope leased = {.ns = "test", .lease = "l"};
	autoval(lease) l = {0};
	autoval(lease_resource_list) held = {0};
	struct content_ingest *i = NULL;
	char digest[DIGEST_MAX];

	refused(content_ingest_open(w->content, &leased, "r", 0, NULL, &i), ERR_NOT_FOUND,
		"lease does not exist: not found");
	ok(leases_create(w->f->meta, &in_test, "l", &none, &l));
	put(w, &leased, "leased", &none, digest);
	ok(leases_list_resources(w->f->meta, &in_test, "l", &held));
	assert_int_equal(held.n, 1);
	assert_string_equal(held.items[0].id, digest);
	assert_string_equal(held.items[0].type, "content");
	ok(content_ingest_open(w->content, &leased, "open", 0, NULL, &i));
	content_ingest_close(i);
	ok(collector_run(w->collector, NULL));
	assert_int_equal(files(w), 2);
	ok(leases_delete(w->f->meta, &in_test, "l"));
	ok(collector_run(w->collector, NULL));
	assert_int_equal(files(w), 0);
}

/* Files that no row knows, as a crash leaves them, go with the first collection. */
static void test_leftovers(void **state)
{
	struct world *w = *state;
	struct content_writer *cw = NULL;

	ok(content_writer_open(w->store, "test/77/gone", 0, &cw));
	content_writer_close(cw);
	ok(content_writer_open(w->store, "test/78/blob", 0, &cw));
	ok(content_write(cw, "x", 1));
	ok(content_commit(cw, 1, NULL));
	content_writer_close(cw);
	assert_int_equal(files(w), 2);
	ok(collector_run(w->collector, NULL));
	assert_int_equal(files(w), 0);
}

/* The collector starts by itself when something was deleted. */
static void test_collects_by_itself(void **state)
{
	struct world *w = *state;
	int64_t until = monotonic_ms() + 20000;
	char digest[DIGEST_MAX];

	ok(collector_run(w->collector, NULL));
	put(w, &in_test, "text", &none, digest);
	ok(content_delete(w->content, &in_test, digest));
	while (files(w) > 0 && monotonic_ms() < until)
		usleep(1000);
	assert_int_equal(files(w), 0);
}

static void test_cancel(void **state)
{
	struct world *w = *state;
	autoptr(cancel) c = cancel_new();

	cancel_fire(c, ERR_CANCELLED);
	for (int i = 0; i < 20; i++) {
		struct err *e = collector_run(w->collector, c);

		if (!err_is(e, ERR_CANCELLED) && e)
			fail_msg("%s", err_message(e));
		err_free(e);
	}
	ok(collector_run(w->collector, NULL));
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_write_read_delete),
		T(test_resume_and_abort),
		T(test_sharing),
		T(test_unsharing),
		T(test_commit_refusals),
		T(test_lease),
		T(test_leftovers),
		T(test_collects_by_itself),
		T(test_cancel),
	};

	int failed = cmocka_run_group_tests_name("memory", tests, NULL, NULL);

	on_disk = true;
	return failed + cmocka_run_group_tests_name("local", tests, NULL, NULL);
}
