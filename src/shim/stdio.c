// SPDX-License-Identifier: Apache-2.0
#include "shim/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "shim/logger.h"
#include "shim/stream.h"
#include "shim/uri.h"

enum { IN, OUT, ERR, N_WAYS };

struct stdio {
	const struct stdio_context *context;
	const struct stdio_spec *spec;
	int child[N_WAYS]; /* what the process gets; closed once it runs */
	int near[N_WAYS];  /* our ends of its pipes, until a stream has them */
	int far[N_WAYS];   /* the client's side, until a stream has it */
	int keep_in; /* a writer of the input pipe: a client that leaves is not the end of input */
	int console; /* -1: no terminal */
	struct stream *streams[N_WAYS];
	struct logger *logger;
	stdio_fn ready;
	void *ready_arg;
	struct loop_timer *drain_timer;
	void (*drained)(void *arg, bool left);
	void *drained_arg;
};

void stdio_spec_done(struct stdio_spec *spec)
{
	free(spec->in);
	free(spec->out);
	free(spec->err);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static struct err *open_fifo(const char *path, int flags, const char *name, int *ret)
{
	autofd fd = -1;
	struct stat st;

	if (stat(path, &st) < 0)
		return err_sys(errno, "open %s fifo %s", name, path);
	if (!S_ISFIFO(st.st_mode))
		return err_new(ERR_INVALID, "%s %s is not a FIFO", name, path);
	fd = open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_sys(errno, "open %s fifo %s", name, path);
	if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		return err_new(ERR_INVALID, "%s %s is not a FIFO", name, path);
	*ret = TAKE_FD(fd);
	return NULL;
}

static struct err *open_log_file(const char *path, int *ret)
{
	autofree char *dir = path_dir(path);
	autofd fd = -1;
	struct stat st;

	TRY(mkdir_p(dir, 0755));
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
	if (fd < 0)
		return err_sys(errno, "open log file %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_new(ERR_INVALID, "log file %s is not a regular file", path);
	*ret = TAKE_FD(fd);
	return NULL;
}

/* A pipe between the process and us; way IN is written by us. */
static struct err *open_pipe(struct stdio *s, int way)
{
	int fds[2];

	if (s->spec->terminal)
		return NULL;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(errno, "create a pipe");
	s->child[way] = fds[way == IN ? 0 : 1];
	s->near[way] = fds[way == IN ? 1 : 0];
	if (s->context->uid || s->context->gid) {
		if (fchown(s->child[way], s->context->uid, s->context->gid) < 0)
			return err_sys(errno, "give a pipe to user %u", s->context->uid);
	}
	return NULL;
}

static struct err *open_in(struct stdio *s)
{
	autoval(uri) u = {0};

	if (str_empty(s->spec->in))
		return NULL;
	TRY(uri_parse(s->spec->in, &u));
	if (u.scheme != URI_FIFO)
		return err_new(ERR_INVALID, "stdin %s is not a FIFO", s->spec->in);
	TRY(open_fifo(u.path, O_RDONLY, "stdin", &s->far[IN]));
	TRY(open_fifo(u.path, O_WRONLY, "stdin", &s->keep_in));
	return open_pipe(s, IN);
}

static void on_logger_ready(void *arg, struct err *take_e)
{
	struct stdio *s = arg;

	s->ready(s->ready_arg, take_e);
}

static struct err *open_logger(struct stdio *s, const struct uri *u)
{
	int out, err_out;

	TRY(logger_start(s->context->loop, s->context->reaper, u, s->context->ns, s->context->id,
		on_logger_ready, s, &out, &err_out, &s->logger));
	if (s->spec->terminal) {
		s->far[OUT] = out;
		close(err_out);
	} else {
		s->child[OUT] = out;
		s->child[ERR] = err_out;
	}
	return NULL;
}

static struct err *open_out(struct stdio *s, int way)
{
	const char *where = way == OUT ? s->spec->out : s->spec->err;
	autoval(uri) u = {0};

	if (way == OUT && str_empty(where) && s->spec->terminal) {
		/* A terminal that nobody reads would stop its process. */
		s->far[OUT] = open("/dev/null", O_WRONLY | O_CLOEXEC);
		return s->far[OUT] < 0 ? err_sys(errno, "open /dev/null") : NULL;
	}
	if (str_empty(where) || (way == ERR && (s->logger || s->spec->terminal)))
		return NULL;
	TRY(uri_parse(where, &u));
	switch (u.scheme) {
	case URI_FIFO:
		/* Both directions: neither the open nor a write depends on a reader. */
		TRY(open_fifo(u.path, O_RDWR, way == OUT ? "stdout" : "stderr", &s->far[way]));
		break;
	case URI_FILE:
		TRY(open_log_file(u.path, &s->far[way]));
		break;
	case URI_BINARY:
	case URI_BINARY_V2:
		if (way == ERR)
			return err_new(ERR_INVALID,
				"stderr %s: a logging binary is given as stdout", where);
		return open_logger(s, &u);
	}
	return open_pipe(s, way);
}

static struct err *open_all(struct stdio *s)
{
	TRY(open_in(s));
	TRY(open_out(s, OUT));
	return open_out(s, ERR);
}

void stdio_open(const struct stdio_context *context, const struct stdio_spec *spec, stdio_fn ready,
	void *arg, struct stdio **ret)
{
	struct stdio *s = NEW(struct stdio);
	struct err *e;

	*s = (struct stdio){.context = context,
		.spec = spec,
		.keep_in = -1,
		.console = -1,
		.ready = ready,
		.ready_arg = arg};
	for (int way = 0; way < N_WAYS; way++)
		s->child[way] = s->near[way] = s->far[way] = -1;
	*ret = s;
	e = open_all(s);
	if (e && s->logger) {
		logger_stop(s->logger, NULL, NULL);
		s->logger = NULL;
	}
	if (e || !s->logger)
		ready(arg, e);
}

void stdio_child_fds(const struct stdio *s, int ret[3])
{
	for (int way = 0; way < N_WAYS; way++)
		ret[way] = s->child[way];
}

static bool output_left(const struct stdio *s)
{
	for (int way = OUT; way < N_WAYS; way++)
		if (s->streams[way] && !stream_ended(s->streams[way]))
			return true;
	return false;
}

static void tell_drained(struct stdio *s, bool left)
{
	void (*drained)(void *arg, bool left) = s->drained;

	s->drained = NULL;
	loop_timer_free(s->drain_timer);
	s->drain_timer = NULL;
	if (drained)
		drained(s->drained_arg, left);
}

static void on_output_ended(void *arg)
{
	struct stdio *s = arg;

	if (s->drained && !output_left(s))
		tell_drained(s, false);
}

static void on_input_ended(void *arg)
{
	struct stdio *s = arg;

	close_fd(&s->keep_in);
	if (s->console < 0)
		return;
	/* Nobody can type any more: hang up, as a real line would. */
	if (s->streams[OUT])
		stream_drain(s->streams[OUT]);
	close_fd(&s->console);
}

static int dup_console(const struct stdio *s)
{
	return fcntl(s->console, F_DUPFD_CLOEXEC, 3);
}

void stdio_run(struct stdio *s, int take_console)
{
	struct loop *loop = s->context->loop;

	s->console = take_console;
	for (int way = 0; way < N_WAYS; way++) {
		close_fd(&s->child[way]);
		if (s->console >= 0 && s->far[way] >= 0)
			s->near[way] = dup_console(s);
		if (s->near[way] < 0 || s->far[way] < 0)
			continue;
		if (way == IN)
			s->streams[way] =
				stream_new(loop, s->far[way], s->near[way], on_input_ended, s);
		else
			s->streams[way] =
				stream_new(loop, s->near[way], s->far[way], on_output_ended, s);
		s->near[way] = s->far[way] = -1;
	}
}

void stdio_process_exited(struct stdio *s)
{
	stream_free(s->streams[IN]);
	s->streams[IN] = NULL;
	close_fd(&s->keep_in);
	if (s->console < 0)
		return;
	if (s->streams[OUT])
		stream_drain(s->streams[OUT]);
	close_fd(&s->console);
}

void stdio_close_in(struct stdio *s)
{
	close_fd(&s->keep_in);
}

struct err *stdio_resize(struct stdio *s, uint32_t width, uint32_t height)
{
	struct winsize size = {.ws_col = (unsigned short)width, .ws_row = (unsigned short)height};

	if (s->console < 0)
		return NULL;
	if (ioctl(s->console, TIOCSWINSZ, &size) < 0)
		return err_sys(errno, "resize terminal");
	return NULL;
}

static void on_drain_timeout(void *arg)
{
	tell_drained(arg, true);
}

void stdio_wait_drained(
	struct stdio *s, int64_t timeout_ms, void (*done)(void *arg, bool left), void *arg)
{
	if (!output_left(s)) {
		done(arg, false);
		return;
	}
	s->drained = done;
	s->drained_arg = arg;
	s->drain_timer = loop_timer_new(s->context->loop, on_drain_timeout, s);
	loop_timer_set(s->drain_timer, timeout_ms);
}

void stdio_close(struct stdio *s, void (*done)(void *arg), void *arg)
{
	struct logger *logger = s ? s->logger : NULL;

	if (s) {
		for (int way = 0; way < N_WAYS; way++) {
			stream_free(s->streams[way]);
			close_fd(&s->child[way]);
			close_fd(&s->near[way]);
			close_fd(&s->far[way]);
		}
		close_fd(&s->keep_in);
		close_fd(&s->console);
		loop_timer_free(s->drain_timer);
		free(s);
	}
	logger_stop(logger, done, arg);
}
