// SPDX-License-Identifier: Apache-2.0
#include "event/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/thread.h"
#include "base/timestamp.h"

#define EVENTS_PER_TURN 64

struct loop_io {
	struct loop *loop;
	struct list node; /* in loop->ios, or in loop->dead once removed */
	int fd;
	bool removed;
	loop_io_fn fn;
	void *arg;
};

struct loop_timer {
	struct loop *loop;
	int64_t due_ms;
	size_t place; /* in the heap, 1-based; 0 when not armed */
	loop_timer_fn fn;
	void *arg;
};

struct posted {
	struct list node;
	void (*run)(void *arg);
	void *arg;
};

struct handler {
	loop_signal_fn fn;
	void *arg;
};

struct loop {
	int epoll_fd, wake_fd, signal_fd;
	pthread_t thread; /* set before running is */
	atomic_bool running;
	bool stop;
	struct list ios, dead;	  /* of struct loop_io, owned */
	struct loop_timer **heap; /* armed timers, the soonest first; slot 0 unused */
	size_t n_heap, cap_heap;
	struct handler handlers[NSIG];
	sigset_t signals;
	struct loop_io *wake_io, *signal_io;
	struct lock lock;
	struct list posted; /* of struct posted, owned; guarded by lock */
	bool stop_asked;    /* guarded by lock */
};

static void on_wake(void *arg, unsigned events)
{
	struct loop *l = arg;
	uint64_t n;
	struct list batch;

	(void)events;
	(void)!read(l->wake_fd, &n, sizeof(n));
	list_init(&batch);
	lock_take(&l->lock);
	while (!list_empty(&l->posted)) {
		struct posted *p = list_first(&l->posted, struct posted, node);

		list_remove(&p->node);
		list_append(&batch, &p->node);
	}
	l->stop |= l->stop_asked;
	l->stop_asked = false;
	lock_drop(&l->lock);
	list_each(struct posted, p, &batch, node)
	{
		list_remove(&p->node);
		p->run(p->arg);
		free(p);
	}
}

static void wake(struct loop *l)
{
	uint64_t one = 1;

	(void)!write(l->wake_fd, &one, sizeof(one));
}

void loop_post(struct loop *l, void (*run)(void *arg), void *arg)
{
	struct posted *p = NEW(struct posted);
	bool first;

	p->run = run;
	p->arg = arg;
	lock_take(&l->lock);
	first = list_empty(&l->posted);
	list_append(&l->posted, &p->node);
	lock_drop(&l->lock);
	if (first)
		wake(l);
}

void loop_stop(struct loop *l)
{
	lock_take(&l->lock);
	l->stop_asked = true;
	lock_drop(&l->lock);
	wake(l);
}

bool loop_is_current(const struct loop *l)
{
	return l->running && pthread_equal(l->thread, pthread_self());
}

bool loop_is_running(const struct loop *l)
{
	return l->running;
}

struct err *loop_new(struct loop **ret)
{
	struct loop *l = NEW(struct loop);
	struct err *e;

	list_init(&l->ios);
	list_init(&l->dead);
	list_init(&l->posted);
	lock_init(&l->lock);
	sigemptyset(&l->signals);
	l->signal_fd = -1;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->epoll_fd < 0 || l->wake_fd < 0)
		e = err_sys(errno, "event loop");
	else
		e = loop_add_io(l, l->wake_fd, LOOP_READ, on_wake, l, &l->wake_io);
	if (e) {
		loop_free(l);
		return e;
	}
	*ret = l;
	return NULL;
}

static void bury(struct loop *l)
{
	list_each(struct loop_io, io, &l->dead, node)
	{
		list_remove(&io->node);
		free(io);
	}
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	list_each(struct loop_io, io, &l->ios, node) loop_io_remove(io);
	bury(l);
	list_each(struct posted, p, &l->posted, node) free(p);
	for (size_t i = 1; i <= l->n_heap; i++)
		l->heap[i]->place = 0;
	free(l->heap);
	if (l->signal_fd >= 0)
		close(l->signal_fd);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	lock_done(&l->lock);
	free(l);
}

static uint32_t to_epoll(unsigned events)
{
	return (events & LOOP_READ ? EPOLLIN | EPOLLRDHUP : 0u) |
	       (events & LOOP_WRITE ? EPOLLOUT : 0u);
}

struct err *loop_add_io(
	struct loop *l, int fd, unsigned events, loop_io_fn fn, void *arg, struct loop_io **ret)
{
	struct loop_io *io = NEW(struct loop_io);
	struct epoll_event ev = {.events = to_epoll(events), .data.ptr = io};

	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		free(io);
		return err_sys(errno, "watch descriptor %d", fd);
	}
	*io = (struct loop_io){.loop = l, .fd = fd, .fn = fn, .arg = arg};
	list_append(&l->ios, &io->node);
	*ret = io;
	return NULL;
}

void loop_io_set(struct loop_io *io, unsigned events)
{
	struct epoll_event ev = {.events = to_epoll(events), .data.ptr = io};

	epoll_ctl(io->loop->epoll_fd, EPOLL_CTL_MOD, io->fd, &ev);
}

void loop_io_remove(struct loop_io *io)
{
	if (!io)
		return;
	epoll_ctl(io->loop->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
	io->removed = true;
	list_remove(&io->node);
	list_append(&io->loop->dead, &io->node);
}

/* --- timers: a binary heap --- */

static void heap_put(struct loop *l, size_t place, struct loop_timer *t)
{
	l->heap[place] = t;
	t->place = place;
}

static void heap_up(struct loop *l, size_t i)
{
	struct loop_timer *t = l->heap[i];

	for (; i > 1 && l->heap[i / 2]->due_ms > t->due_ms; i /= 2)
		heap_put(l, i, l->heap[i / 2]);
	heap_put(l, i, t);
}

static void heap_down(struct loop *l, size_t i)
{
	struct loop_timer *t = l->heap[i];

	for (size_t child; (child = 2 * i) <= l->n_heap; i = child) {
		if (child < l->n_heap && l->heap[child + 1]->due_ms < l->heap[child]->due_ms)
			child++;
		if (l->heap[child]->due_ms >= t->due_ms)
			break;
		heap_put(l, i, l->heap[child]);
	}
	heap_put(l, i, t);
}

struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn fn, void *arg)
{
	struct loop_timer *t = NEW(struct loop_timer);

	t->loop = l;
	t->fn = fn;
	t->arg = arg;
	return t;
}

void loop_timer_clear(struct loop_timer *t)
{
	struct loop *l = t->loop;
	size_t place = t->place;
	struct loop_timer *last;

	if (!place)
		return;
	t->place = 0;
	last = l->heap[l->n_heap--];
	if (last == t)
		return;
	heap_put(l, place, last);
	heap_up(l, place);
	heap_down(l, last->place);
}

void loop_timer_set(struct loop_timer *t, int64_t in_ms)
{
	struct loop *l = t->loop;

	loop_timer_clear(t);
	t->due_ms = monotonic_ms() + MAX(in_ms, (int64_t)0);
	if (l->n_heap + 2 > l->cap_heap) {
		l->cap_heap = l->cap_heap ? l->cap_heap * 2 : 8;
		l->heap = xreallocarray(l->heap, l->cap_heap, sizeof(struct loop_timer *));
	}
	heap_put(l, ++l->n_heap, t);
	heap_up(l, l->n_heap);
}

void loop_timer_free(struct loop_timer *t)
{
	if (!t)
		return;
	loop_timer_clear(t);
	free(t);
}

static int next_timeout(const struct loop *l)
{
	int64_t left;

	if (!l->n_heap)
		return -1;
	left = l->heap[1]->due_ms - monotonic_ms();
	return left <= 0 ? 0 : (int)MIN(left, (int64_t)3600 * 1000);
}

static void run_timers(struct loop *l)
{
	int64_t now = monotonic_ms();

	while (l->n_heap && l->heap[1]->due_ms <= now) {
		struct loop_timer *t = l->heap[1];

		loop_timer_clear(t);
		t->fn(t->arg);
	}
}

/* --- signals --- */

static void on_signal(void *arg, unsigned events)
{
	struct loop *l = arg;
	struct signalfd_siginfo info;

	(void)events;
	while (read(l->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		struct handler *h = info.ssi_signo < NSIG ? &l->handlers[info.ssi_signo] : NULL;

		if (h && h->fn)
			h->fn(h->arg, (int)info.ssi_signo);
	}
}

struct err *loop_add_signal(struct loop *l, int signum, loop_signal_fn fn, void *arg)
{
	int fd;

	assert(signum > 0 && signum < NSIG);
	sigaddset(&l->signals, signum);
	pthread_sigmask(SIG_BLOCK, &l->signals, NULL);
	fd = signalfd(l->signal_fd, &l->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_sys(errno, "signalfd");
	l->signal_fd = fd;
	l->handlers[signum] = (struct handler){fn, arg};
	if (!l->signal_io)
		return loop_add_io(l, fd, LOOP_READ, on_signal, l, &l->signal_io);
	return NULL;
}

static unsigned from_epoll(uint32_t events)
{
	return (events & EPOLLIN ? LOOP_READ : 0u) | (events & EPOLLOUT ? LOOP_WRITE : 0u) |
	       (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP) ? LOOP_HANGUP : 0u);
}

void loop_run(struct loop *l)
{
	struct epoll_event events[EVENTS_PER_TURN];

	l->thread = pthread_self();
	l->running = true;
	l->stop = false;
	while (!l->stop) {
		int n = epoll_wait(l->epoll_fd, events, EVENTS_PER_TURN, next_timeout(l));

		for (int i = 0; i < n; i++) {
			struct loop_io *io = events[i].data.ptr;

			if (!io->removed)
				io->fn(io->arg, from_epoll(events[i].events));
		}
		run_timers(l);
		bury(l);
	}
	l->running = false;
}
