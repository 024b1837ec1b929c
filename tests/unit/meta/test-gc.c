// SPDX-License-Identifier: Apache-2.0
#include "meta/gc.h"

#include <pthread.h>
#include <stdatomic.h>

#include "meta/blobs.h"
#include "meta/containers.h"
#include "meta/images.h"
#include "meta/leases.h"
#include "meta/sandboxes.h"
#include "meta/snapshots.h"
#include "tests/unit/meta/fixture.h"

static struct strmap none;

/* One row per line: what is made, then what must be left after a collection. */
enum kind { BLOB, SNAPSHOT, IMAGE, CONTAINER, LEASE, SANDBOX };

struct object {
	enum kind kind;
	const char *name;      /* of a blob: a letter; a snapshot's is committed */
	const char *labels[4]; /* "%A" to "%D" stand for digests; behind "containerd.io/gc." */
	const char *refers;    /* image: letter; container: snapshot; snapshot: parent */
	bool kept;
};

static const char *digest(char letter)
{
	static const char *const all[] = {DIGEST_A, DIGEST_B, DIGEST_C, DIGEST_D};

	return all[letter - 'A'];
}

static void make_labels(const struct object *o, struct strmap *to)
{
	for (size_t i = 0; i < 4 && o->labels[i]; i++) {
		const char *equals = strchr(o->labels[i], '=');
		autofree char *key = xasprintf(
			"containerd.io/gc.%.*s", (int)(equals - o->labels[i]), o->labels[i]);

		strmap_set(to, key, equals[1] == '%' ? digest(equals[2]) : equals + 1);
	}
}

static void make_blob(struct meta *m, const struct object *o, const struct strmap *labels)
{
	autoval(ingest_row) row = {0};

	ok(ingests_open(m, &in_test, o->name, NULL, false, &row));
	ok(ingests_commit(m, &in_test, o->name, digest(*o->name), 1, labels));
}

static void make_snapshot(struct meta *m, const struct object *o, const struct strmap *labels)
{
	autoval(snapshot_chain) chain = {0};

	ok(snapshots_reserve(
		m, &in_test, "sn", "active", o->refers, SNAPSHOT_ACTIVE, &none, &chain));
	ok(snapshots_publish(m, &in_test, "sn", "active"));
	ok(snapshots_commit(m, &in_test, "sn", "active", o->name, NULL, labels, 1, 1));
}

static void make_image(struct meta *m, const struct object *o, const struct strmap *labels)
{
	autoval(image) image = {0}, made = {0};

	image.name = xstrdup(o->name);
	strmap_copy(&image.labels, labels);
	image.target.media_type = xstrdup("t");
	image.target.digest = xstrdup(digest(*o->refers));
	image.target.size = 1;
	ok(images_create(m, &in_test, &image, (struct timestamp){0}, &made));
}

static void make_container(struct meta *m, const struct object *o, const struct strmap *labels)
{
	autoptr(container) c = container_new(), *made = NULL;

	c->id = xstrdup(o->name);
	c->runtime = xstrdup("r");
	any_set(&c->spec, "t", "v", 1);
	if (o->refers) {
		c->snapshotter = xstrdup("sn");
		c->snapshot_key = xstrdup(o->refers);
	}
	strmap_copy(&c->labels, labels);
	ok(containers_create(m, &in_test, c, &made));
}

static void make_sandbox(struct meta *m, const struct object *o, const struct strmap *labels)
{
	autoptr(sandbox) s = sandbox_new(), *made = NULL;

	s->id = xstrdup(o->name);
	strmap_copy(&s->labels, labels);
	ok(sandboxes_create(m, &in_test, s, &made));
}

/* A lease holds a blob "A", a snapshot "sn/x" or an image "image/x". */
static void make_lease(struct meta *m, const struct object *o, const struct strmap *labels)
{
	autoval(lease) l = {0};

	ok(leases_create(m, &in_test, o->name, labels, &l));
	if (!o->refers)
		return;
	if (str_starts(o->refers, "sn/"))
		ok(leases_add_resource(m, &in_test, o->name, o->refers + 3, "snapshots/sn"));
	else if (str_starts(o->refers, "image/"))
		ok(leases_add_resource(m, &in_test, o->name, o->refers + 6, "images"));
	else
		ok(leases_add_resource(m, &in_test, o->name, digest(*o->refers), "content"));
}

static bool is_there(struct meta *m, const struct object *o)
{
	autoval(blob_info) blob = {0};
	autoval(snapshot_chain) chain = {0};
	autoval(image) image = {0};
	autoptr(container) container = NULL;
	autoptr(sandbox) sandbox = NULL;
	autoval(lease_resource_list) resources = {0};
	struct err *e = NULL;
	bool there;

	if (o->kind == BLOB)
		e = blobs_get(m, &in_test, digest(*o->name), &blob);
	if (o->kind == SNAPSHOT)
		e = snapshots_get(m, &in_test, "sn", o->name, &chain);
	if (o->kind == IMAGE)
		e = images_get(m, &in_test, o->name, &image);
	if (o->kind == CONTAINER)
		e = containers_get(m, &in_test, o->name, &container);
	if (o->kind == SANDBOX)
		e = sandboxes_get(m, &in_test, o->name, &sandbox);
	if (o->kind == LEASE)
		e = leases_list_resources(m, &in_test, o->name, &resources);
	there = !e;
	if (e && !err_is(e, ERR_NOT_FOUND))
		fail_msg("%s", err_message(e));
	err_free(e);
	return there;
}

struct scenario {
	const char *name;
	struct object objects[8];
};

static const struct scenario scenarios[] = {
	{"nothing refers",
		{{BLOB, "A"}, {SNAPSHOT, "s"}, {IMAGE, "i", .refers = "B", .kept = true}}},
	{"an image keeps manifest, layers and snapshots",
		{{BLOB, "A", {"ref.content.config=%B", "ref.content.l.0=%C"}, .kept = true},
			{BLOB, "B", {"ref.snapshot.sn=top"}, .kept = true},
			{BLOB, "C", .kept = true}, {BLOB, "D"}, {SNAPSHOT, "base", .kept = true},
			{SNAPSHOT, "top", .refers = "base", .kept = true},
			{SNAPSHOT, "side", .refers = "base"},
			{IMAGE, "i", .refers = "A", .kept = true}}},
	{"the suffix of a reference begins with a dot or a slash",
		{{BLOB, "A", {"root=1", "ref.content/x=%B", "ref.contents=%C", "ref.content=%D"},
			 .kept = true},
			{BLOB, "B", .kept = true}, {BLOB, "C"}, {BLOB, "D", .kept = true}}},
	{"a container keeps its snapshot and what it is labelled with",
		{{SNAPSHOT, "a", .kept = true}, {SNAPSHOT, "b", .refers = "a", .kept = true},
			{SNAPSHOT, "c", .kept = true}, {BLOB, "A", .kept = true},
			{CONTAINER, "c1", {"ref.content.x=%A", "ref.snapshot.sn/x=c"},
				.refers = "b", .kept = true}}},
	{"a sandbox keeps what it is labelled with",
		{{SNAPSHOT, "a", .kept = true}, {SNAPSHOT, "b"}, {BLOB, "A", .kept = true},
			{BLOB, "B"},
			{SANDBOX, "s1", {"ref.content.x=%A", "ref.snapshot.sn/x=a"},
				.kept = true}}},
	{"roots by label", {{BLOB, "A", {"root=yes", "ref.content=%B"}, .kept = true},
				   {BLOB, "B", .kept = true},
				   {SNAPSHOT, "s", {"root=yes"}, .kept = true}, {SNAPSHOT, "t"}}},
	{"a cycle is no root", {{BLOB, "A", {"ref.content=%B"}}, {BLOB, "B", {"ref.content=%A"}},
				       {BLOB, "C", {"ref.content=%C"}}}},
	{"a lease keeps what it lists and what that refers to",
		{{BLOB, "A", {"ref.content=%B"}, .kept = true}, {BLOB, "B", .kept = true},
			{LEASE, "l", .refers = "A", .kept = true}}},
	{"a flat lease keeps only what it lists",
		{{BLOB, "A", {"ref.content=%B"}, .kept = true}, {BLOB, "B"},
			{LEASE, "l", {"flat=1"}, .refers = "A", .kept = true}}},
	{"a flat lease keeps the parents of a snapshot",
		{{BLOB, "A"}, {SNAPSHOT, "p", .kept = true},
			{SNAPSHOT, "s", {"ref.content=%A"}, .refers = "p", .kept = true},
			{LEASE, "l", {"flat=1"}, .refers = "sn/s", .kept = true}}},
	{"a flat lease of an image keeps the target alone",
		{{BLOB, "A", {"ref.content=%B"}, .kept = true}, {BLOB, "B"}, {BLOB, "C"},
			{IMAGE, "i", {"expire=2001-01-01T00:00:00Z", "ref.content=%C"},
				.refers = "A", .kept = true},
			{LEASE, "l", {"flat=1"}, .refers = "image/i", .kept = true}}},
	{"an expired lease goes and keeps nothing",
		{{BLOB, "A"}, {LEASE, "l", {"expire=2001-01-01T00:00:00Z"}, .refers = "A"}}},
	{"a lease of the future, and one whose time makes no sense",
		{{BLOB, "A", .kept = true}, {BLOB, "B", .kept = true},
			{LEASE, "l", {"expire=2999-01-01T00:00:00Z"}, .refers = "A", .kept = true},
			{LEASE, "m", {"expire=tomorrow"}, .refers = "B", .kept = true}}},
	{"an expired image goes, one that is referred to stays",
		{{BLOB, "A"}, {BLOB, "B", .kept = true},
			{BLOB, "C", {"root=1", "ref.image.x=j"}, .kept = true},
			{IMAGE, "i", {"expire=2001-01-01T00:00:00Z"}, .refers = "A"},
			{IMAGE, "j", {"expire=2001-01-01T00:00:00Z"}, .refers = "B",
				.kept = true}}},
	{"back references", {{BLOB, "A", {"bref.container=c1"}, .kept = true},
				    {BLOB, "B", {"bref.container=c2"}},
				    {BLOB, "C", {"bref.content.x=%A"}, .kept = true},
				    {BLOB, "D", {"bref.snapshot.sn=s"}, .kept = true},
				    {SNAPSHOT, "s", {"bref.image=i"}, .kept = true},
				    {SNAPSHOT, "t", {"bref.image=k"}},
				    {IMAGE, "i", .refers = "D", .kept = true},
				    {CONTAINER, "c1", .kept = true}}},
	{"conditions on the last use",
		{{IMAGE, "i",
			 {"cond.snapshot.sn=usedat<24h|old", "cond.snapshot.sn/b=usedat<24h|new",
				 "cond.snapshot.sn/c=usedat>1h,usedat<1s|old2"},
			 .refers = "A", .kept = true},
			{SNAPSHOT, "old", {"cond.value-usedat=2001-01-01T00:00:00Z"}},
			{SNAPSHOT, "new", {"cond.value-usedat=2999-01-01T00:00:00Z"}, .kept = true},
			{SNAPSHOT, "old2", {"cond.value-usedat=2001-01-01T00:00:00Z"},
				.kept = true},
			{SNAPSHOT, "unlabelled"}}},
};

static void run_scenario(struct meta *m, const struct scenario *s)
{
	static void (*const make[])(struct meta *, const struct object *, const struct strmap *) = {
		make_blob, make_snapshot, make_image, make_container, make_lease, make_sandbox};
	struct gc_result result;

	for (const struct object *o = s->objects; o < s->objects + 8 && o->name; o++) {
		autoval(strmap) labels = STRMAP_INIT;

		make_labels(o, &labels);
		make[o->kind](m, o, &labels);
	}
	ok(gc_collect(m, &result));
	for (const struct object *o = s->objects; o < s->objects + 8 && o->name; o++)
		if (is_there(m, o) != o->kept)
			fail_msg("%s: %s is %s", s->name, o->name, o->kept ? "gone" : "there");
	ok(gc_collect(m, &result));
	if (result.blobs + result.snapshots + result.images + result.leases)
		fail_msg("%s: the second collection removed more", s->name);
}

static void test_scenarios(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(scenarios); i++) {
		void *f = NULL;

		fixture_setup(&f);
		run_scenario(((struct fixture *)f)->meta, &scenarios[i]);
		fixture_teardown(&f);
	}
}

static void test_chain_of_snapshots_goes_whole(void **state)
{
	struct fixture *f = *state;
	struct gc_result result;
	autoval(strv) seen = STRV_INIT;
	autoval(snapshot_ids) stale = {0};

	meta_set_observer(f->meta, observe_into, &seen);
	for (int i = 0; i < 300; i++) {
		autofree char *name = xasprintf("s%d", i), *parent = xasprintf("s%d", i - 1);

		make_snapshot(f->meta, &(struct object){SNAPSHOT, name, .refers = i ? parent : ""},
			&none);
	}
	ok(gc_collect(f->meta, &result));
	assert_int_equal(result.snapshots, 300);
	ok(snapshots_stale(f->meta, "sn", &stale));
	assert_int_equal(stale.n, 300);
	assert_int_equal(seen.n, 900);
	assert_string_equal(seen.items[899], "13:test:s0");
	ok(snapshots_forget(f->meta, "sn", stale.items[0]));
}

static void test_ingests(void **state)
{
	struct fixture *f = *state;
	const struct scope leased = {.ns = "test", .lease = "l"};
	autoval(lease) l = {0};
	autoval(ingest_row) a = {0}, b = {0};
	autoval(strv) digests = STRV_INIT, keys = STRV_INIT;
	struct gc_result result;

	ok(leases_create(f->meta, &in_test, "l", &none, &l));
	ok(ingests_open(f->meta, &in_test, "mine", NULL, false, &a));
	ok(ingests_open(f->meta, &leased, "leased", NULL, false, &b));
	ok(gc_collect(f->meta, &result));
	assert_int_equal(result.ingests, 0);
	ok(leases_delete(f->meta, &in_test, "l"));
	ok(gc_collect(f->meta, &result));
	assert_int_equal(result.ingests, 1);
	blobs_take_removed(f->meta, &digests, &keys);
	assert_int_equal(keys.n, 1);
	assert_string_equal(keys.items[0], b.key);
}

static void test_pressure(void **state)
{
	struct fixture *f = *state;
	uint64_t deletions, mutations;
	struct gc_result result;
	autoval(lease) l = {0};

	ok(leases_create(f->meta, &in_test, "l", &none, &l));
	gc_pressure(f->meta, &deletions, &mutations);
	assert_int_equal(deletions, 0);
	assert_int_equal(mutations, 1);
	ok(leases_delete(f->meta, &in_test, "l"));
	gc_pressure(f->meta, &deletions, &mutations);
	assert_int_equal(deletions, 1);
	ok(gc_collect(f->meta, &result));
	gc_pressure(f->meta, &deletions, &mutations);
	assert_int_equal(deletions + mutations, 0);
}

/* --- writers against collections --- */

/* What a client does between the marking and the removal of blob A (and of B, to which A refers),
 * to keep it. */
static void save_by_image(struct meta *m)
{
	make_image(m, &(struct object){IMAGE, "i", .refers = "A"}, &none);
}

static void save_by_lease(struct meta *m)
{
	make_lease(m, &(struct object){LEASE, "late", .refers = "A"}, &none);
}

static void save_by_container(struct meta *m)
{
	autoval(strmap) labels = STRMAP_INIT;

	labels_set(&labels, "containerd.io/gc.ref.content=" DIGEST_A, NULL);
	make_container(m, &(struct object){CONTAINER, "c"}, &labels);
}

static void save_by_root_label(struct meta *m)
{
	autoval(strmap) labels = STRMAP_INIT;
	autoval(blob_info) info = {0};

	labels_set(&labels, "containerd.io/gc.root=1", NULL);
	ok(blobs_update(m, &in_test, DIGEST_A, &labels,
		(char *[]){(char[]){"labels.containerd.io/gc.root"}}, 1, &info));
}

static void save_by_label_of_a_root(struct meta *m)
{
	autoval(strmap) labels = STRMAP_INIT;
	autoval(blob_info) info = {0};

	labels_set(
		&labels, "containerd.io/gc.root=1", "containerd.io/gc.ref.content=" DIGEST_A, NULL);
	ok(blobs_update(m, &in_test, DIGEST_C, &labels, NULL, 0, &info));
}

static void save_by_exists(struct meta *m)
{
	const struct scope leased = {.ns = "test", .lease = "l"};
	autoval(ingest_row) row = {0};

	refused(ingests_open(m, &leased, "again", DIGEST_A, false, &row), ERR_EXISTS, NULL);
}

struct saver {
	struct meta *m;
	void (*save)(struct meta *m);
	int announced;
};

/* The first announcement comes after the first of several writes of the sweep. */
static void save_once(const struct change *c, void *arg)
{
	struct saver *s = arg;

	if (c->kind == CHANGE_SNAPSHOT_REMOVE && s->announced++ == 0)
		s->save(s->m);
}

static void run_saver(struct fixture *f, void (*save)(struct meta *m), size_t n)
{
	static const struct object objects[] = {{BLOB, "A", {"ref.content=%B"}, .kept = true},
		{BLOB, "B", .kept = true}, {BLOB, "C", {"root=1"}, .kept = true}, {BLOB, "D"}};
	struct saver saver = {f->meta, save, 0};
	struct gc_result result;
	autoval(lease) l = {0};

	ok(leases_create(f->meta, &in_test, "l", &none, &l));
	for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
		autoval(strmap) labels = STRMAP_INIT;

		make_labels(&objects[i], &labels);
		make_blob(f->meta, &objects[i], &labels);
	}
	for (int i = 0; i < 600; i++) {
		autofree char *name = xasprintf("s%d", i);
		autoval(snapshot_chain) chain = {0};

		ok(snapshots_reserve(
			f->meta, &in_test, "sn", name, "", SNAPSHOT_VIEW, &none, &chain));
		ok(snapshots_publish(f->meta, &in_test, "sn", name));
	}
	meta_set_observer(f->meta, save_once, &saver);
	ok(gc_collect(f->meta, &result));
	assert_int_equal(saver.announced, 600);
	for (size_t i = 0; i < ARRAY_LEN(objects); i++)
		if (is_there(f->meta, &objects[i]) != objects[i].kept)
			fail_msg("saver %zu: blob %s", n, objects[i].name);
}

static void test_saved_between_mark_and_sweep(void **state)
{
	static void (*const savers[])(struct meta *m) = {save_by_image, save_by_lease,
		save_by_container, save_by_root_label, save_by_label_of_a_root, save_by_exists};

	for (size_t i = 0; i < ARRAY_LEN(savers); i++) {
		void *f = NULL;

		fixture_setup(&f);
		run_saver(f, savers[i], i);
		fixture_teardown(&f);
	}
}

#define ROUNDS 60
#define THREADS 4

struct race {
	struct meta *m;
	atomic_bool stop;
	atomic_int lost;
};

static void *collect_all_the_time(void *arg)
{
	struct race *r = arg;

	while (!atomic_load(&r->stop)) {
		struct gc_result result;

		ok(gc_collect(r->m, &result));
	}
	return NULL;
}

struct writer {
	struct race *race;
	int n;
};

/* Snapshots that hang from a container, passed on to a lease, to a child, and back: at any time
 * something refers to the one at the bottom, but never for long the same thing. */
static void hand_around(struct race *r, const char *ns)
{
	const struct scope s = {.ns = ns}, leased = {.ns = ns, .lease = "l"};
	autoval(lease) l = {0}, l2 = {0};
	autoval(snapshot_chain) base = {0}, found = {0}, child = {0};
	autoptr(container) c = container_new(), *made = NULL;

	ok(leases_create(r->m, &s, "l", &none, &l));
	ok(snapshots_reserve(r->m, &leased, "sn", "k", "", SNAPSHOT_ACTIVE, &none, &base));
	ok(snapshots_publish(r->m, &leased, "sn", "k"));
	ok(snapshots_commit(r->m, &leased, "sn", "k", "base", NULL, &none, 1, 1));
	/* lease -> container */
	c->id = xstrdup("c");
	c->runtime = xstrdup("r");
	any_set(&c->spec, "t", "v", 1);
	c->snapshotter = xstrdup("sn");
	c->snapshot_key = xstrdup("base");
	ok(containers_create(r->m, &s, c, &made));
	ok(leases_delete(r->m, &s, "l"));
	/* container -> lease, by way of a child */
	ok(leases_create(r->m, &s, "l", &none, &l2));
	ok(snapshots_reserve(r->m, &leased, "sn", "child", "base", SNAPSHOT_ACTIVE, &none, &child));
	ok(containers_delete(r->m, &s, "c"));
	ok(snapshots_publish(r->m, &leased, "sn", "child"));
	for (int i = 0; i < 2; i++) {
		struct err *e = snapshots_get(r->m, &s, "sn", i ? "base" : "child", &found);

		if (e)
			atomic_fetch_add(&r->lost, 1);
		err_free(e);
		snapshot_chain_done(&found);
	}
	ok(leases_delete(r->m, &s, "l"));
}

static void *write_all_the_time(void *arg)
{
	struct writer *w = arg;
	autofree char *ns = xasprintf("ns%d", w->n);

	for (int i = 0; i < ROUNDS; i++) {
		hand_around(w->race, ns);
		/* The collector takes what is left; wait for it by making the rest unreachable. */
		for (;;) {
			autoval(snapshot_list) list = {0};

			ok(snapshots_list(
				w->race->m, &(struct scope){.ns = ns}, "sn", NULL, 0, &list));
			if (list.n == 0)
				break;
		}
	}
	return NULL;
}

static void test_race(void **state)
{
	struct fixture *f = *state;
	struct race r = {.m = f->meta};
	struct writer w[THREADS];
	pthread_t collector, threads[THREADS];

	assert_int_equal(pthread_create(&collector, NULL, collect_all_the_time, &r), 0);
	for (int i = 0; i < THREADS; i++) {
		w[i] = (struct writer){&r, i};
		assert_int_equal(pthread_create(&threads[i], NULL, write_all_the_time, &w[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&r.stop, true);
	pthread_join(collector, NULL);
	assert_int_equal(atomic_load(&r.lost), 0);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scenarios),
		T(test_chain_of_snapshots_goes_whole),
		T(test_ingests),
		T(test_pressure),
		cmocka_unit_test(test_saved_between_mark_and_sweep),
		T(test_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
