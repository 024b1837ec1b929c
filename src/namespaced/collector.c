// SPDX-License-Identifier: Apache-2.0
/*
 * When to collect follows containerd's scheduler: the first time shortly after the start, then when
 * something was deleted or much was changed, but so seldom that collections take at most a given
 * share of the time. Between collections that nobody needs the thread sleeps without a timer.
 */
#include "namespaced/collector.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "meta/gc.h"

#define COLLECTION_MS_MIN 5 /* what a collection counts for at least */
#define INTERVAL_MS_FIRST 1000
#define RETRY_MS 1000
#define NEVER INT64_MAX

struct waiter {
	struct list node;
	int fd; /* an eventfd, written to when it is over */
	struct err *result;
};

struct collector {
	struct meta *meta;
	struct content_store *store;
	struct snapshots *snapshots;
	struct collector_options options;
	pthread_t thread;

	struct lock lock;
	struct cond wake;
	bool stop, triggered;
	bool once;	     /* a collection has ended, well or not */
	bool failed;	     /* the last one: it is tried again */
	int64_t not_before;  /* for what is not urgent */
	int64_t urgent_at;   /* NEVER: nothing is */
	struct list waiters; /* of struct waiter, on their callers' stacks */
	atomic_bool armed;   /* the thread has seen that there is something to collect */

	/* The thread's own. */
	int64_t spent_ms, collections;
	bool walked; /* all files were looked at once */
};

/* --- files --- */

static struct err *remove_blob(const char *digest, void *arg)
{
	struct collector *c = arg;
	struct err *e = content_remove_blob(c->store, digest);

	if (!err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	return NULL;
}

static void sweep_blob(struct collector *c, const char *digest)
{
	bool removed;
	autoptr(err) e = blobs_sweep(c->meta, digest, remove_blob, c, &removed);

	if (e)
		log_warn("content is not removed", "digest", digest, "error", err_message(e));
	else if (removed)
		log_debug("removed content", "digest", digest);
}

static void sweep_ingest(struct collector *c, const char *key)
{
	bool known = true;
	struct err *e = ingests_known(c->meta, key, &known);

	if (!e && !known)
		e = content_abort(c->store, key);
	if (e && !err_is(e, ERR_NOT_FOUND))
		log_warn("ingest is not removed", "key", key, "error", err_message(e));
	err_free(e);
}

static struct err *add_digest(const char *digest, int64_t size, void *arg)
{
	strv_add(arg, digest);
	return NULL;
}

static struct err *add_key(const char *key, void *arg)
{
	strv_add(arg, key);
	return NULL;
}

/* Files whose rows went, and the first time all files: a crash may have left some without a row. */
static void sweep_content(struct collector *c, bool all)
{
	autoval(strv) digests = STRV_INIT, keys = STRV_INIT;
	autoptr(err) e = NULL, *e2 = NULL;

	blobs_take_removed(c->meta, &digests, &keys);
	if (all) {
		e = content_walk(c->store, add_digest, &digests);
		e2 = content_walk_ingests(c->store, add_key, &keys);
	}
	if (e || e2)
		log_warn("content cannot be listed", "error", err_message(e ?: e2));
	for (size_t i = 0; i < digests.n; i++)
		sweep_blob(c, digests.items[i]);
	for (size_t i = 0; i < keys.n; i++)
		sweep_ingest(c, keys.items[i]);
}

static struct err *collect(struct collector *c)
{
	int64_t start = monotonic_ms();
	struct gc_result result = {0};
	autoptr(err) e = NULL;

	TRY(gc_collect(c->meta, &result));
	c->spent_ms += monotonic_ms() - start;
	c->collections++;
	sweep_content(c, !c->walked);
	c->walked = true;
	e = snapshots_cleanup_all(c->snapshots);
	if (e)
		log_warn("snapshots are not removed", "error", err_message(e));
	return NULL;
}

/* --- when --- */

static int64_t interval_ms(const struct collector *c)
{
	double share = c->options.pause_threshold;
	double average;

	if (share <= 0 || c->collections == 0)
		return INTERVAL_MS_FIRST;
	average = (double)c->spent_ms / (double)c->collections;
	average = MAX(average, COLLECTION_MS_MIN);
	return (int64_t)(average / share - average);
}

/* Whether what has happened since the last collection asks for one; *ret_urgent: at once. */
static bool pressed(struct collector *c, bool *ret_urgent)
{
	const struct collector_options *o = &c->options;
	uint64_t deletions, mutations;

	gc_pressure(c->meta, &deletions, &mutations);
	*ret_urgent = o->deletion_threshold > 0 && deletions >= (uint64_t)o->deletion_threshold;
	return deletions > 0 ||
	       (o->mutation_threshold > 0 && mutations >= (uint64_t)o->mutation_threshold);
}

/* When the next collection is due, as far as is known now. */
static int64_t due_at(struct collector *c)
{
	bool urgent, needed = pressed(c, &urgent);
	int64_t at = NEVER;

	if ((urgent || c->triggered) && c->urgent_at == NEVER)
		c->urgent_at = monotonic_ms() + c->options.schedule_delay_ms;
	if (needed || c->failed || (!c->once && c->options.startup_delay_ms > 0))
		at = c->not_before;
	return MIN(at, c->urgent_at);
}

static void finish_waiters(struct list *waiters, const struct err *e)
{
	list_each(struct waiter, w, waiters, node)
	{
		uint64_t one = 1;
		int fd = w->fd;

		list_remove(&w->node);
		w->result = err_copy(e);
		/* The waiter may be gone as soon as this is written. */
		(void)!write(fd, &one, sizeof(one));
	}
}

/* Called and returns with the lock held. */
static void collect_now(struct collector *c)
{
	autoptr(err) e = NULL;
	struct list mine;

	list_init(&mine);
	list_each(struct waiter, w, &c->waiters, node)
	{
		list_remove(&w->node);
		list_append(&mine, &w->node);
	}
	c->triggered = false;
	c->urgent_at = NEVER;
	atomic_store(&c->armed, false);
	lock_drop(&c->lock);
	e = collect(c);
	if (e)
		log_error("garbage collection failed", "error", err_message(e));
	lock_take(&c->lock);
	finish_waiters(&mine, e);
	c->once = true;
	c->failed = e != NULL;
	c->not_before = monotonic_ms() + interval_ms(c) + (e ? RETRY_MS : 0);
}

static void *run(void *arg)
{
	struct collector *c = arg;

	lock_take(&c->lock);
	while (!c->stop) {
		int64_t at;

		/* Before looking: what comes later pokes again. */
		atomic_store(&c->armed, false);
		at = due_at(c);
		if (at <= monotonic_ms()) {
			collect_now(c);
			continue;
		}
		atomic_store(&c->armed, at != NEVER);
		(void)cond_wait_until(&c->wake, &c->lock, at == NEVER ? -1 : at);
	}
	lock_drop(&c->lock);
	return NULL;
}

static void poke(void *arg)
{
	collector_poke(arg);
}

struct err *collector_new(struct meta *meta, struct content_store *store,
	struct snapshots *snapshots, const struct collector_options *options,
	struct collector **ret)
{
	struct collector *c = NEW(struct collector);
	struct collector_options *o = &c->options;
	struct err *e;

	*c = (struct collector){.meta = meta,
		.store = store,
		.snapshots = snapshots,
		.options = *options,
		.urgent_at = NEVER};
	o->pause_threshold = MIN(MAX(o->pause_threshold, 0.0), 0.5);
	o->mutation_threshold = MAX(o->mutation_threshold, 0);
	o->schedule_delay_ms = MAX(o->schedule_delay_ms, 0);
	o->startup_delay_ms = MAX(o->startup_delay_ms, 0);
	c->not_before = monotonic_ms() + o->startup_delay_ms;
	lock_init(&c->lock);
	cond_init(&c->wake);
	list_init(&c->waiters);
	e = thread_start("collector", run, c, &c->thread);
	if (e) {
		cond_done(&c->wake);
		lock_done(&c->lock);
		free(c);
		return e;
	}
	gc_set_notify(meta, poke, c);
	*ret = c;
	return NULL;
}

void collector_free(struct collector *c)
{
	autoptr(err) e = NULL;

	if (!c)
		return;
	gc_set_notify(c->meta, NULL, NULL);
	lock_take(&c->lock);
	c->stop = true;
	cond_signal(&c->wake);
	lock_drop(&c->lock);
	pthread_join(c->thread, NULL);
	e = err_new(ERR_UNAVAILABLE, "garbage collection: shutting down");
	lock_take(&c->lock);
	finish_waiters(&c->waiters, e);
	lock_drop(&c->lock);
	cond_done(&c->wake);
	lock_done(&c->lock);
	free(c);
}

void collector_poke(struct collector *c)
{
	bool urgent, needed = pressed(c, &urgent);

	if (!needed || (atomic_load(&c->armed) && !urgent))
		return;
	LOCKED(&c->lock);
	cond_signal(&c->wake);
}

/* --- on demand --- */

static void wait_for(int fd, int cancel)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = cancel, .events = POLLIN}};

	while (poll(fds, ARRAY_LEN(fds), -1) < 0 && errno == EINTR)
		;
}

struct err *collector_run(struct collector *c, struct cancel *cancel)
{
	autofd fd = eventfd(0, EFD_CLOEXEC);
	struct waiter w = {.fd = fd};
	uint64_t over = 0;

	if (fd < 0)
		return err_sys(errno, "eventfd");
	lock_take(&c->lock);
	list_append(&c->waiters, &w.node);
	c->triggered = true;
	cond_signal(&c->wake);
	lock_drop(&c->lock);
	wait_for(fd, cancel_fd(cancel));
	lock_take(&c->lock);
	if (!list_empty(&w.node)) {
		list_remove(&w.node);
		lock_drop(&c->lock);
		return cancel_check(cancel);
	}
	lock_drop(&c->lock);
	/* Taken from the list: the number is there, or is just being written. */
	(void)!read(fd, &over, sizeof(over));
	return err_wrap(w.result, "gc failed");
}
