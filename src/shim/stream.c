// SPDX-License-Identifier: Apache-2.0
#include "shim/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/alloc.h"

#define BLOCK 4096 /* a pipe that is writable takes so much at once */
#define SPLICE_MAX 65536
#define BLOCKS_PER_TURN 16 /* then others have their turn */

enum waiting { WAIT_NONE, WAIT_SOURCE, WAIT_SINK };

struct stream {
	struct loop *loop;
	int from, to;
	struct loop_io *io; /* on the side that is waited for, and only that: a hang-up of the
		other would wake us without end */
	enum waiting waiting;
	bool splicing, draining, ended;
	char *rest; /* read but not yet taken by the sink */
	size_t rest_len, rest_at;
	stream_fn fn;
	void *arg;
};

enum outcome { MOVED, SOURCE_EMPTY, SINK_FULL, END };

static void step(struct stream *s);

static void close_both(struct stream *s)
{
	loop_io_remove(s->io);
	s->io = NULL;
	if (s->from >= 0)
		close(s->from);
	if (s->to >= 0)
		close(s->to);
	s->from = s->to = -1;
	free(s->rest);
	s->rest = NULL;
	s->rest_len = 0;
}

static void end(struct stream *s)
{
	close_both(s);
	s->ended = true;
	if (s->fn)
		s->fn(s->arg);
}

static void on_ready(void *arg, unsigned events)
{
	(void)events;
	step(arg);
}

static void wait_for(struct stream *s, enum waiting what)
{
	struct err *e;

	if (s->waiting == what)
		return;
	loop_io_remove(s->io);
	s->io = NULL;
	s->waiting = what;
	e = loop_add_io(s->loop, what == WAIT_SINK ? s->to : s->from,
		what == WAIT_SINK ? LOOP_WRITE : LOOP_READ, on_ready, s, &s->io);
	if (e) {
		err_free(e);
		end(s);
	}
}

static enum outcome write_rest(struct stream *s)
{
	while (s->rest_len) {
		ssize_t n = write(s->to, s->rest + s->rest_at, s->rest_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? SINK_FULL : END;
		s->rest_at += (size_t)n;
		s->rest_len -= (size_t)n;
	}
	free(s->rest);
	s->rest = NULL;
	return MOVED;
}

static enum outcome copy_block(struct stream *s)
{
	char block[BLOCK];
	ssize_t n, written;

	do
		n = read(s->from, block, sizeof(block));
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return s->draining ? END : SOURCE_EMPTY;
	if (n <= 0)
		return END;
	do
		written = write(s->to, block, (size_t)n);
	while (written < 0 && errno == EINTR);
	if (written == n)
		return MOVED;
	if (written < 0 && errno != EAGAIN)
		return END;
	written = MAX(written, (ssize_t)0);
	s->rest_len = (size_t)(n - written);
	s->rest_at = 0;
	s->rest = xmemdup(block + written, s->rest_len);
	return SINK_FULL;
}

static enum outcome splice_pages(struct stream *s)
{
	ssize_t n;
	int queued = 0;

	do
		n = splice(
			s->from, NULL, s->to, NULL, SPLICE_MAX, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return MOVED;
	if (n < 0 && errno == EINVAL) {
		s->splicing = false;
		return MOVED;
	}
	if (n == 0 || errno != EAGAIN)
		return END;
	if (ioctl(s->from, FIONREAD, &queued) == 0 && queued > 0)
		return SINK_FULL;
	return s->draining ? END : SOURCE_EMPTY;
}

static void step(struct stream *s)
{
	for (int i = 0; i < BLOCKS_PER_TURN; i++) {
		enum outcome o = write_rest(s);

		if (o == MOVED)
			o = s->splicing ? splice_pages(s) : copy_block(s);
		switch (o) {
		case MOVED:
			continue;
		case SOURCE_EMPTY:
			wait_for(s, WAIT_SOURCE);
			return;
		case SINK_FULL:
			wait_for(s, WAIT_SINK);
			return;
		case END:
			end(s);
			return;
		}
	}
	/* More to come: stay on whichever side is watched, both are ready. */
	wait_for(s, s->waiting == WAIT_NONE ? WAIT_SOURCE : s->waiting);
}

static bool is_pipe(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static void set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

struct stream *stream_new(struct loop *loop, int take_from, int take_to, stream_fn ended, void *arg)
{
	struct stream *s = NEW(struct stream);

	*s = (struct stream){
		.loop = loop, .from = take_from, .to = take_to, .fn = ended, .arg = arg};
	set_nonblocking(s->from);
	set_nonblocking(s->to);
	s->splicing = is_pipe(s->from) && is_pipe(s->to);
	wait_for(s, WAIT_SOURCE);
	return s;
}

void stream_drain(struct stream *s)
{
	if (s->ended || s->draining)
		return;
	s->draining = true;
	step(s);
}

bool stream_ended(const struct stream *s)
{
	return s->ended;
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	close_both(s);
	free(s);
}
