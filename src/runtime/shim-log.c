// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim-log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"

/* A pipe that polls as writable takes as much at once. */
#define CHUNK 4096

struct shim_log {
	struct loop *loop;
	struct loop_io *io; /* loop thread only */
	int fd;
};

static void on_log(void *arg, unsigned events)
{
	struct shim_log *log = arg;
	struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
	char text[CHUNK];
	ssize_t n = read(log->fd, text, sizeof(text));

	(void)events;
	/* Lines that nobody takes are lost: the daemon does not wait for its own log. */
	if (n > 0 && poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT))
		(void)!write(STDERR_FILENO, text, (size_t)n);
}

static void attach(void *arg)
{
	struct shim_log *log = arg;
	autoptr(err) e = loop_add_io(log->loop, log->fd, LOOP_READ, on_log, log, &log->io);
}

static void detach(void *arg)
{
	struct shim_log *log = arg;

	loop_io_remove(log->io);
	close(log->fd);
	free(log);
}

struct err *shim_log_open(struct loop *loop, const char *bundle, struct shim_log **ret)
{
	autofree char *path = path_join(bundle, "log");
	struct shim_log *log;
	autofd fd = -1;
	struct stat st;

	if (mkfifo(path, 0700) < 0 && errno != EEXIST)
		return err_sys(errno, "open shim log pipe %s", path);
	/* Also open for writing, so that it never ends. */
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(errno, "open shim log pipe %s", path);
	if (!S_ISFIFO(st.st_mode))
		return err_new(ERR_PRECONDITION, "shim log %s is no FIFO", path);
	log = NEW(struct shim_log);
	log->loop = loop;
	log->fd = TAKE_FD(fd);
	loop_post(loop, attach, log);
	*ret = log;
	return NULL;
}

void shim_log_close(struct shim_log *log)
{
	if (!log)
		return;
	if (loop_is_current(log->loop) || loop_is_running(log->loop))
		loop_post(log->loop, detach, log);
	else
		detach(log);
}
