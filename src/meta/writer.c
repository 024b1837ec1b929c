// SPDX-License-Identifier: Apache-2.0
/*
 * Group commit. A write queues itself; the one that finds nobody writing becomes the leader: it
 * takes all that wait and who comes before the commit, runs each in a savepoint of one transaction,
 * commits once and wakes them. Then the first of those that came meanwhile leads. So there is exactly
 * one writer at any time, a lone writer pays no switch between threads, and an idle database costs
 * nothing.
 */
#include <assert.h>

#include "base/alloc.h"
#include "meta/internal.h"

/* How many may join a transaction that is under way: those who began it wait for them. */
#define LATE_MAX 64

static struct err *set_sync(struct meta *m, bool relaxed)
{
	if (m->relaxed_sync == relaxed)
		return NULL;
	TRY(sql_exec(
		&m->writer, relaxed ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL"));
	m->relaxed_sync = relaxed;
	return NULL;
}

static struct err *run_in_savepoint(struct conn *c, struct write_request *r)
{
	struct err *e;

	TRY(sql_run(c, "SAVEPOINT one", ""));
	e = r->fn(c, r->arg);
	/* After some failures (a full disk) SQLite has rolled back the whole transaction. */
	if (e && !sqlite3_get_autocommit(c->db)) {
		autoptr(err) undo = sql_run(c, "ROLLBACK TO one", "");

		err_free(undo ? sql_run(c, "ROLLBACK", "") : NULL);
	}
	if (!sqlite3_get_autocommit(c->db)) {
		struct err *release = sql_run(c, "RELEASE one", "");

		if (!e)
			return release;
		err_free(release);
	}
	return e;
}

static void fail_all(struct write_request *batch, struct err *take_e)
{
	autoptr(err) e = take_e;

	for (struct write_request *r = batch; r; r = r->next)
		if (!r->result)
			r->result = err_copy(e);
}

/* What has queued up meanwhile joins at the end of the batch, so that it need not wait for the disk
 * twice. What must be durable cannot join a transaction that will not be. */
static void admit(struct meta *m, struct write_request *last, size_t *room)
{
	LOCKED(&m->write_lock);
	while (*room > 0 && m->queue_head &&
		(!m->relaxed_sync || m->queue_head->durability == RELAXED)) {
		last->next = m->queue_head;
		last = last->next;
		m->queue_head = last->next;
		last->next = NULL;
		--*room;
	}
	if (!m->queue_head)
		m->queue_tail = &m->queue_head;
}

/* The whole batch; each request has its result afterwards. */
static void run_batch(struct meta *m, struct write_request *batch)
{
	struct conn *c = &m->writer;
	size_t room = LATE_MAX;
	bool relaxed = true;
	struct err *e;

	for (struct write_request *r = batch; r; r = r->next)
		relaxed = relaxed && r->durability == RELAXED;
	e = set_sync(m, relaxed);
	if (!e)
		e = sql_run(c, "BEGIN IMMEDIATE", "");
	for (struct write_request *r = batch; r && !e; r = r->next) {
		r->result = run_in_savepoint(c, r);
		if (sqlite3_get_autocommit(c->db))
			e = r->result ? err_copy(r->result)
				      : err_new(ERR_INTERNAL, "transaction ended early");
		else if (!r->next)
			admit(m, r, &room);
	}
	if (!e)
		e = sql_run(c, "COMMIT", "");
	if (e && !sqlite3_get_autocommit(c->db))
		err_free(sql_run(c, "ROLLBACK", ""));
	if (e)
		fail_all(batch, e);
}

/* Called with the lock held by the leader, whose own request is in the queue. */
static void lead(struct meta *m)
{
	struct write_request *batch = m->queue_head;

	m->queue_head = NULL;
	m->queue_tail = &m->queue_head;
	lock_drop(&m->write_lock);
	run_batch(m, batch);
	lock_take(&m->write_lock);
	for (struct write_request *r = batch, *next; r; r = next) {
		next = r->next; /* the request is its thread's again once it is done */
		r->done = true;
		cond_signal(&r->wake);
	}
	m->writing = false;
	if (m->queue_head) {
		m->queue_head->lead = true;
		m->writing = true;
		cond_signal(&m->queue_head->wake);
	}
}

struct err *meta_write(struct meta *m, enum durability durability, meta_fn fn, void *arg)
{
	struct write_request r = {.fn = fn, .arg = arg, .durability = durability};

	cond_init(&r.wake);
	lock_take(&m->write_lock);
	*m->queue_tail = &r;
	m->queue_tail = &r.next;
	if (!m->writing)
		m->writing = r.lead = true;
	while (!r.done && !r.lead)
		cond_wait(&r.wake, &m->write_lock);
	if (!r.done)
		lead(m);
	lock_drop(&m->write_lock);
	cond_done(&r.wake);
	return r.result;
}

struct err *meta_update(struct meta *m, enum durability durability, meta_fn fn, void *arg)
{
	TRY(meta_write(m, durability, fn, arg));
	atomic_fetch_add(&m->mutations, 1);
	if (m->notify)
		m->notify(m->notify_arg);
	return NULL;
}

/* --- readers --- */

static struct err *take_reader(struct meta *m, struct conn **ret)
{
	struct err *e;

	lock_take(&m->read_lock);
	while (m->n_idle == 0 && m->n_readers == META_READERS)
		cond_wait(&m->reader_free, &m->read_lock);
	if (m->n_idle > 0) {
		*ret = m->idle[--m->n_idle];
		lock_drop(&m->read_lock);
		return NULL;
	}
	*ret = &m->readers[m->n_readers];
	e = conn_open(m, false, *ret);
	if (!e)
		m->n_readers++;
	lock_drop(&m->read_lock);
	return e;
}

static void give_reader(struct meta *m, struct conn *c)
{
	lock_take(&m->read_lock);
	m->idle[m->n_idle++] = c;
	cond_signal(&m->reader_free);
	lock_drop(&m->read_lock);
}

struct err *meta_read(struct meta *m, bool consistent, meta_fn fn, void *arg)
{
	struct conn *c = NULL;
	struct err *e;

	TRY(take_reader(m, &c));
	e = consistent ? sql_run(c, "BEGIN", "") : NULL;
	if (!e)
		e = fn(c, arg);
	if (!sqlite3_get_autocommit(c->db))
		err_free(sql_run(c, "COMMIT", ""));
	give_reader(m, c);
	return e;
}
