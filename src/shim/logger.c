// SPDX-License-Identifier: Apache-2.0
#include "shim/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "base/alloc.h"
#include "shim/exec.h"

#define READY_MS 30000
#define FINISH_MS 250 /* to see the end of its input by itself */
#define TERMINATE_MS 12000

struct logger {
	struct reaper *reaper;
	struct loop_timer *timer;
	struct loop_io *ready_io;
	int ready_fd;
	pid_t pid;   /* 0: gone */
	bool strict; /* readiness is a byte; otherwise the end of the file will do */
	bool stopping, asked;
	char *path;
	logger_fn ready;
	void *ready_arg;
	void (*done)(void *arg);
	void *done_arg;
};

static void logger_free(struct logger *l)
{
	loop_io_remove(l->ready_io);
	loop_timer_free(l->timer);
	if (l->ready_fd >= 0)
		close(l->ready_fd);
	free(l->path);
	free(l);
}

static void tell_ready(struct logger *l, struct err *take_e)
{
	logger_fn ready = l->ready;

	loop_timer_clear(l->timer);
	loop_io_remove(l->ready_io);
	l->ready_io = NULL;
	close(l->ready_fd);
	l->ready_fd = -1;
	l->ready = NULL;
	ready(l->ready_arg, take_e);
}

static void on_ready(void *arg, unsigned events)
{
	struct logger *l = arg;
	char byte;
	ssize_t n = read(l->ready_fd, &byte, 1);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0)
		tell_ready(l, err_sys(errno, "failed to read from logging binary %s", l->path));
	else if (n == 0 && l->strict)
		tell_ready(l,
			err_new(ERR_UNKNOWN,
				"logging binary did not call ready (it may have crashed or exited "
				"prematurely): %s",
				l->path));
	else
		tell_ready(l, NULL);
}

static void on_timer(void *arg)
{
	struct logger *l = arg;

	if (!l->stopping) {
		tell_ready(l, err_new(ERR_DEADLINE, "logging binary %s was not ready within %d s",
				      l->path, READY_MS / 1000));
		return;
	}
	kill(l->pid, l->asked ? SIGKILL : SIGTERM);
	if (!l->asked)
		loop_timer_set(l->timer, TERMINATE_MS);
	l->asked = true;
}

static void on_exit_of_logger(void *arg, const struct child_exit *exit)
{
	struct logger *l = arg;

	(void)exit;
	l->pid = 0;
	if (!l->stopping)
		return;
	if (l->done)
		l->done(l->done_arg);
	logger_free(l);
}

static struct err *start(struct logger *l, const struct uri *uri, const char *ns, const char *id,
	int out, int err_out, int ready)
{
	autoval(strv) argv = STRV_INIT, env = STRV_INIT;
	int fds[] = {-1, -1, -1, out, err_out, ready};
	struct exec_options options = {.fds = fds, .n_fds = ARRAY_LEN(fds)};

	strv_add(&argv, uri->path);
	strv_add_all(&argv, &uri->args);
	strv_addf(&env, "CONTAINER_ID=%s", id);
	strv_addf(&env, "CONTAINER_NAMESPACE=%s", ns);
	options.argv = strv_argv(&argv);
	options.env = strv_argv(&env);
	TRY(err_wrap(exec_start(&options, &l->pid), "failed to start binary process"));
	reaper_claim_new(l->reaper, l->pid, on_exit_of_logger, l);
	return NULL;
}

struct err *logger_start(struct loop *loop, struct reaper *reaper, const struct uri *uri,
	const char *ns, const char *id, logger_fn ready, void *arg, int *ret_out, int *ret_err,
	struct logger **ret)
{
	struct logger *l = NEW(struct logger);
	int out[2] = {-1, -1}, err_out[2] = {-1, -1}, said[2] = {-1, -1};
	struct err *e = NULL;

	*l = (struct logger){.reaper = reaper,
		.strict = uri->scheme == URI_BINARY_V2,
		.path = xstrdup(uri->path),
		.ready = ready,
		.ready_arg = arg,
		.ready_fd = -1};
	l->timer = loop_timer_new(loop, on_timer, l);
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err_out, O_CLOEXEC) < 0 ||
		pipe2(said, O_CLOEXEC) < 0)
		e = err_sys(errno, "failed to create pipes for %s", uri->path);
	if (!e)
		e = start(l, uri, ns, id, out[0], err_out[0], said[1]);
	close(out[0]);
	close(err_out[0]);
	close(said[1]);
	l->ready_fd = said[0];
	if (!e) {
		fcntl(l->ready_fd, F_SETFL, O_NONBLOCK);
		e = loop_add_io(loop, l->ready_fd, LOOP_READ, on_ready, l, &l->ready_io);
	}
	if (e) {
		close(out[1]);
		close(err_out[1]);
		logger_stop(l, NULL, NULL);
		return e;
	}
	loop_timer_set(l->timer, READY_MS);
	*ret_out = out[1];
	*ret_err = err_out[1];
	*ret = l;
	return NULL;
}

void logger_stop(struct logger *l, void (*done)(void *arg), void *arg)
{
	if (!l || !l->pid) {
		if (l)
			logger_free(l);
		if (done)
			done(arg);
		return;
	}
	loop_io_remove(l->ready_io);
	l->ready_io = NULL;
	l->stopping = true;
	l->done = done;
	l->done_arg = arg;
	loop_timer_set(l->timer, FINISH_MS);
}
