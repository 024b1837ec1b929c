// SPDX-License-Identifier: Apache-2.0
/* Transactions: many at once, failing ones, killed processes, full disks, and opening. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "meta/blobs.h"
#include "meta/internal.h"
#include "meta/leases.h"
#include "meta/namespaces.h"
#include "meta/snapshots.h"
#include "tests/unit/meta/fixture.h"

#define THREADS 100

static struct strmap none;

/* --- group commit --- */

static int commits;

static int count_commit(void *arg)
{
	commits++;
	return 0;
}

static size_t queued(struct meta *m)
{
	size_t n = 0;

	LOCKED(&m->write_lock);
	for (struct write_request *r = m->queue_head; r; r = r->next)
		n++;
	return n;
}

static atomic_bool busy;

/* Keeps the writer busy until all the others wait. */
static struct err *wait_for_all(struct conn *c, void *arg)
{
	int64_t until = monotonic_ms() + 30000;

	atomic_store(&busy, true);
	while (queued(c->meta) < THREADS && monotonic_ms() < until)
		sched_yield();
	return queued(c->meta) == THREADS ? NULL : err_new(ERR_DEADLINE, "not all came");
}

static void *hold_up(void *arg)
{
	ok(meta_write(arg, DURABLE, wait_for_all, NULL));
	return NULL;
}

struct one {
	struct meta *m;
	char id[16];
	struct err *result;
};

/* Writes first, then fails for one in ten: what was written must not stay. */
static struct err *insert(struct conn *c, void *arg)
{
	struct one *o = arg;

	TRY(sql_run(c, "INSERT INTO leases(ns, id, created) VALUES('test', ?1, 1)", "s", o->id));
	if (str_ends(o->id, "7"))
		return err_new(ERR_ABORTED, "no %s", o->id);
	if (str_ends(o->id, "3"))
		return sql_run(
			c, "INSERT INTO leases(ns, id, created) VALUES('test', ?1, 1)", "s", o->id);
	return NULL;
}

static void *write_one(void *arg)
{
	struct one *o = arg;

	o->result = meta_write(o->m, DURABLE, insert, o);
	return NULL;
}

static void test_group_commit(void **state)
{
	struct fixture *f = *state;
	struct one all[THREADS];
	pthread_t threads[THREADS], first;
	autoval(lease_list) list = {0};

	sqlite3_commit_hook(f->meta->writer.db, count_commit, NULL);
	commits = 0;
	assert_int_equal(pthread_create(&first, NULL, hold_up, f->meta), 0);
	while (!atomic_load(&busy))
		sched_yield();
	for (int i = 0; i < THREADS; i++) {
		all[i] = (struct one){.m = f->meta};
		snprintf(all[i].id, sizeof(all[i].id), "l%02d", i);
		assert_int_equal(pthread_create(&threads[i], NULL, write_one, &all[i]), 0);
	}
	pthread_join(first, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(commits, 2); /* of the first, and one for all the others */
	for (int i = 0; i < THREADS; i++) {
		enum err_class expected = i % 10 == 7	? ERR_ABORTED
					  : i % 10 == 3 ? ERR_INTERNAL
							: ERR_OK;

		refused(all[i].result, expected, expected == ERR_OK ? "" : NULL);
	}
	ok(leases_list(f->meta, &in_test, NULL, 0, &list));
	assert_int_equal(list.n, 80);
}

/* --- durability --- */

/* In the child: write for ever from several threads, telling the parent what returned. */
static struct meta *child_meta;
static int child_pipe;

static void *write_for_ever(void *arg)
{
	for (int i = 0;; i++) {
		char text[16] = "";
		autoval(lease) l = {0};

		snprintf(text, sizeof(text), "%s-%d", (const char *)arg, i);
		ok(leases_create(child_meta, &in_test, text, &none, &l));
		if (write(child_pipe, text, sizeof(text)) != (ssize_t)sizeof(text))
			return NULL;
	}
}

static void run_child(const char *path, int fd)
{
	static const char *const names[] = {"a", "b", "c", "d"};
	pthread_t threads[ARRAY_LEN(names)];

	child_pipe = fd;
	ok(meta_open(path, &child_meta));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, write_for_ever, (void *)names[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		pthread_join(threads[i], NULL);
}

static void check_written(struct fixture *f, const struct strv *written)
{
	autoval(lease_list) list = {0};

	ok(meta_open(f->path, &f->meta));
	ok(leases_list(f->meta, &in_test, NULL, 0, &list));
	assert_true(list.n >= written->n);
	for (size_t i = 0; i < written->n; i++) {
		bool found = false;

		for (size_t k = 0; k < list.n && !found; k++)
			found = strcmp(list.items[k].id, written->items[i]) == 0;
		if (!found)
			fail_msg("%s was lost", written->items[i]);
	}
}

static void test_killed_process_loses_nothing(void **state)
{
	struct fixture *f = *state;
	autoval(strv) written = STRV_INIT;
	char text[16];
	int ends[2];
	pid_t pid;

	meta_close(f->meta);
	f->meta = NULL;
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		run_child(f->path, ends[1]);
		_exit(0);
	}
	close(ends[1]);
	while (written.n < 500 && read(ends[0], text, sizeof(text)) == (ssize_t)sizeof(text))
		strv_add(&written, text);
	kill(pid, SIGKILL);
	while (read(ends[0], text, sizeof(text)) == (ssize_t)sizeof(text))
		strv_add(&written, text);
	waitpid(pid, NULL, 0);
	close(ends[0]);
	assert_true(written.n >= 500);
	check_written(f, &written);
}

/* What was refused as being there already is held by the lease nevertheless. */
static void test_lease_of_what_exists(void **state)
{
	struct fixture *f = *state;
	const struct scope leased = {.ns = "test", .lease = "l"};
	autoval(lease) l = {0};
	autoval(lease_resource_list) held = {0};
	autoval(ingest_row) row = {0};
	autoval(snapshot_chain) chain = {0};

	ok(leases_create(f->meta, &in_test, "l", &none, &l));
	ok(ingests_open(f->meta, &in_test, "r", NULL, false, &row));
	ok(ingests_commit(f->meta, &in_test, "r", DIGEST_A, 1, &none));
	ok(snapshots_reserve(f->meta, &in_test, "sn", "k", "", SNAPSHOT_ACTIVE, &none, &chain));
	ok(snapshots_publish(f->meta, &in_test, "sn", "k"));
	refused(ingests_open(f->meta, &leased, "r2", DIGEST_A, false, &row), ERR_EXISTS, NULL);
	refused(snapshots_reserve(f->meta, &leased, "sn", "k", "", SNAPSHOT_ACTIVE, &none, &chain),
		ERR_EXISTS, "snapshot \"k\": already exists");
	ok(leases_list_resources(f->meta, &in_test, "l", &held));
	assert_int_equal(held.n, 2);
	assert_string_equal(held.items[0].id, DIGEST_A);
	assert_string_equal(held.items[1].type, "snapshots/sn");
	assert_string_equal(held.items[1].id, "k");
}

/* --- a full disk --- */

static void fill(struct meta *m, struct err **ret)
{
	autoval(strmap) big = STRMAP_INIT;
	autofree char *value = xcalloc(1, 4001);

	memset(value, 'x', 4000);
	strmap_set(&big, "k", value);
	*ret = NULL;
	for (int i = 0; i < 10000 && !*ret; i++) {
		autofree char *id = xasprintf("big-%d", i);
		autoval(lease) l = {0};

		*ret = leases_create(m, &in_test, id, &big, &l);
	}
}

static void test_limit_of_pages(void **state)
{
	struct fixture *f = *state;
	autofree char *text = NULL;
	autoval(lease) l = {0};
	struct err *e;

	ok(sql_exec(&f->meta->writer, "PRAGMA max_page_count=60"));
	fill(f->meta, &e);
	text = xasprintf(
		"metadata database %s: no space left on the device; free some and try again",
		f->path);
	refused(e, ERR_EXHAUSTED, text);
	ok(sql_exec(&f->meta->writer, "PRAGMA max_page_count=100000"));
	ok(leases_create(f->meta, &in_test, "small", &none, &l));
}

static void test_full_disk(void **state)
{
	autofree char *dir = xstrdup("/tmp/meta-full-XXXXXX");
	autofree char *path = NULL;
	autoptr(meta) m = NULL;
	autoval(lease) l = {0};
	autoval(lease_list) list = {0};
	struct err *e;

	if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0)
		skip();
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(mount("tmpfs", dir, "tmpfs", 0, "size=1m"), 0);
	path = path_join(dir, "meta.db");
	ok(meta_open(path, &m));
	ok(leases_create(m, &in_test, "before", &none, &l));
	fill(m, &e);
	refused(e, ERR_EXHAUSTED, NULL);
	ok(leases_list(m, &in_test, NULL, 0, &list));
	assert_true(list.n > 1);
	assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT, "size=4m"), 0);
	lease_done(&l);
	ok(leases_create(m, &in_test, "after", &none, &l));
	meta_close(TAKE(m));
	assert_int_equal(umount(dir), 0);
	rmdir(dir);
}

/* --- opening --- */

static void test_held_by_another(void **state)
{
	struct fixture *f = *state;
	autofree char *text = NULL;
	struct meta *second = NULL;

	text = xasprintf("metadata database %s is in use by another containerd (pid %d); stop it "
			 "first, or use another root directory",
		f->path, (int)getpid());
	refused(meta_open(f->path, &second), ERR_UNAVAILABLE, text);
}

static void test_newer_schema(void **state)
{
	struct fixture *f = *state;
	struct meta *m = NULL;

	ok(sql_exec(&f->meta->writer, "PRAGMA user_version=99"));
	meta_close(TAKE(f->meta));
	refused(meta_open(f->path, &m), ERR_PRECONDITION, NULL);
}

/* An empty file is a database of version 0. */
static void test_upgrade_from_nothing(void **state)
{
	struct fixture *f = *state;
	autofree char *path = path_join(f->dir, "empty.db");
	autoptr(meta) m = NULL;

	ok(file_write_atomic(path, "", 0, 0600, false));
	ok(meta_open(path, &m));
	ok(namespace_create(m, "x", &none));
}

static void test_upgrade_is_whole_or_not_at_all(void **state)
{
	struct fixture *f = *state;
	autofree char *path = path_join(f->dir, "half.db");
	sqlite3 *db = NULL;
	struct meta *m = NULL;

	/* A table of ours is there already: a step fails in the middle. */
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "CREATE TABLE leases(x)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	refused(meta_open(path, &m), ERR_INTERNAL, NULL);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db, "SELECT * FROM namespaces", NULL, NULL, NULL), SQLITE_ERROR);
	sqlite3_close(db);
}

static void test_damaged(void **state)
{
	struct fixture *f = *state;
	autofree char *path = path_join(f->dir, "bad.db"), *content = NULL;
	char junk[8192];
	struct meta *m = NULL;
	struct err *e;
	size_t len;

	memset(junk, 'j', sizeof(junk));
	ok(file_write_atomic(path, junk, sizeof(junk), 0600, false));
	e = meta_open(path, &m);
	assert_int_equal(err_class(e), ERR_DATA_LOSS);
	assert_non_null(strstr(err_message(e), path));
	err_free(e);
	ok(file_read(path, sizeof(junk) * 2, &content, &len));
	assert_int_equal(len, sizeof(junk));
	assert_memory_equal(content, junk, len);
}

static void test_mode_of_the_file(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_killed_process_loses_nothing),
		T(test_group_commit),
		T(test_lease_of_what_exists),
		T(test_limit_of_pages),
		cmocka_unit_test(test_full_disk),
		T(test_held_by_another),
		T(test_newer_schema),
		T(test_upgrade_from_nothing),
		T(test_upgrade_is_whole_or_not_at_all),
		T(test_damaged),
		T(test_mode_of_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
