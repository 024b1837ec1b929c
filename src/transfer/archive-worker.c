// SPDX-License-Identifier: Apache-2.0
/* One thread feeds the worker from the stream, the caller's takes the entries. */
#include "transfer/archive-worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "diff/worker.h"

#define PIPE_BYTES (256 * 1024)
#define REST_MS 5000 /* for the client to come to the end of what follows the archive */

struct feeder {
	struct stream *from;
	int to;
	pthread_t thread;
	struct lock lock;
	struct cond cond;
	/* guarded by lock */
	bool is_done;
	struct err *error; /* of the stream; the worker's absence is not one */
};

static struct err *feed(struct feeder *f)
{
	bool is_read = true;

	for (;;) {
		const void *data;
		size_t len;

		TRY(stream_read(f->from, &data, &len));
		if (len == 0)
			return NULL;
		/* Behind the archive there may be padding that nobody wants. */
		if (is_read && write_full(f->to, data, len) < 0)
			is_read = false;
	}
}

static void *feed_thread(void *arg)
{
	struct feeder *f = arg;
	struct err *e = feed(f);

	close(f->to);
	lock_take(&f->lock);
	f->error = e;
	f->is_done = true;
	cond_broadcast(&f->cond);
	lock_drop(&f->lock);
	return NULL;
}

/* Takes the pipe's end. */
static struct err *feeder_start(struct feeder *f, struct stream *from, int take_to)
{
	struct err *e;

	*f = (struct feeder){.from = from, .to = take_to};
	lock_init(&f->lock);
	cond_init(&f->cond);
	e = thread_start("feed", feed_thread, f, &f->thread);
	if (e)
		close(take_to);
	return e;
}

static struct err *feeder_join(struct feeder *f, bool is_wanted)
{
	int64_t deadline = monotonic_ms() + (is_wanted ? REST_MS : 0);

	lock_take(&f->lock);
	while (!f->is_done && cond_wait_until(&f->cond, &f->lock, deadline))
		;
	lock_drop(&f->lock);
	stream_stop(f->from);
	pthread_join(f->thread, NULL);
	lock_done(&f->lock);
	cond_done(&f->cond);
	return f->error;
}

/* --- the worker --- */

struct reading {
	struct child child;
	int out; /* frames */
	struct cancel *cancel;
};

/* A codec_read_fn that a cancellation ends. */
static ssize_t read_frames(void *arg, void *data, size_t len)
{
	struct reading *r = arg;
	struct pollfd fds[] = {{r->out, POLLIN, 0}, {cancel_fd(r->cancel), POLLIN, 0}};

	for (;;) {
		ssize_t n;

		if (poll(fds, ARRAY_LEN(fds), -1) < 0 && errno != EINTR)
			return -errno;
		if (cancel_fired(r->cancel))
			return -ECANCELED;
		if (!fds[0].revents)
			continue;
		n = read(r->out, data, len);
		if (n >= 0 || errno != EINTR)
			return n < 0 ? -errno : n;
	}
}

static struct err *make_pipe(int *ret_read, int *ret_write)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(errno, "create a pipe");
	/* Larger is only faster. */
	(void)fcntl(p[0], F_SETPIPE_SZ, PIPE_BYTES);
	*ret_read = p[0];
	*ret_write = p[1];
	return NULL;
}

/* The worker's ends of the pipes are closed when this returns. */
static struct err *start(const char *worker, struct reading *r, int *ret_archive)
{
	autoptr(json_object) job = worker_job_new();
	autofd input = -1, archive_in = -1, archive_out = -1, frames_in = -1, frames_out = -1;
	struct worker_command command;

	TRY(worker_job_file(job, &input));
	TRY(make_pipe(&archive_out, &archive_in));
	TRY(make_pipe(&frames_out, &frames_in));
	struct spawn_fd fds[] = {{input, 0}, {frames_in, 1}, {archive_out, WORKER_LAYER_FD}};

	worker_command_init(&command, worker, "archive");
	command.options.fds = fds;
	command.options.n_fds = ARRAY_LEN(fds);
	TRY(spawn(&command.options, &r->child));
	r->out = TAKE_FD(frames_out);
	*ret_archive = TAKE_FD(archive_in);
	return NULL;
}

/* Not wanted any more, it is killed; its last frame has said what there is to say. */
static void stop(struct reading *r, bool is_wanted)
{
	autoptr(cancel) now = cancel_new();
	int status;

	if (!is_wanted)
		cancel_fire(now, ERR_CANCELLED);
	close(r->out);
	err_free(child_wait(&r->child, monotonic_ms() + REST_MS, now, &status));
}

struct err *archive_worker_run(const char *worker, struct stream *from, struct cancel *cancel,
	const struct entry_visitor *v, void *arg)
{
	struct reading r = {.out = -1, .cancel = cancel};
	struct feeder feeder;
	struct err *e, *e_feed;
	int archive = -1;

	TRY(start(worker, &r, &archive));
	e = feeder_start(&feeder, from, archive);
	if (e) {
		stop(&r, false);
		return e;
	}
	e = entries_receive(read_frames, &r, v, arg);
	stop(&r, !e);
	e_feed = feeder_join(&feeder, !e);
	/* A stream that broke may look like an archive that is cut short, or like a whole one. */
	if (e_feed) {
		err_free(e);
		e = e_feed;
	}
	return err_wrap(e, "image archive");
}
