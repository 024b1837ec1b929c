// SPDX-License-Identifier: Apache-2.0
/*
 * The FIFOs between a shim and this program. Two threads: one carries output until the shim has
 * closed its ends, one carries input. A FIFO's reading end can be opened before anybody writes; its
 * writing end cannot, so the input thread waits in open(2) for the shim and is let go by a reader
 * of our own when there is nothing to wait for any more.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "client/tasks-internal.h"

#define FIFO_DIR "/run/containerd/fifo"
#define COPY_BYTES ((size_t)64 * 1024)

enum { IN, OUT, ERR, STREAMS };

struct process_io {
	char *dir;		    /* ours to remove, or NULL */
	char *paths[STREAMS];	    /* as the daemon is told; "" for none */
	int from[STREAMS];	    /* reading ends of the FIFOs for OUT and ERR */
	int to[STREAMS];	    /* the program's own descriptors, borrowed */
	int in_path;		    /* O_PATH of the input FIFO: it may be unlinked by anybody */
	int stop;		    /* eventfd: readable when copying is to end */
	atomic_int idle_ms;	    /* how long output may stay away; -1: for ever */
	bool has_output, has_input; /* threads */
	pthread_t output, input;
	void (*stdin_ended)(void *arg);
	void *arg;
};

const char *process_io_stdin(const struct process_io *io)
{
	return io->paths[IN];
}

const char *process_io_stdout(const struct process_io *io)
{
	return io->paths[OUT];
}

const char *process_io_stderr(const struct process_io *io)
{
	return io->paths[ERR];
}

void fifos_remove(const char *const *paths, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct stat st;

		if (*paths[i] != '/' || lstat(paths[i], &st) < 0 || !S_ISFIFO(st.st_mode))
			continue;
		autofree char *dir = path_dir(paths[i]);
		unlink(paths[i]);
		/* Fails, as it should, while something else is in it. */
		rmdir(dir);
	}
}

void process_io_remove(struct process_io *io)
{
	fifos_remove((const char *const *)io->paths, STREAMS);
	if (io->dir)
		rmdir(io->dir);
}

static struct process_io *io_new(const struct ctd_io_options *options)
{
	struct process_io *io = NEW(struct process_io);

	for (int i = 0; i < STREAMS; i++) {
		io->paths[i] = xstrdup("");
		io->from[i] = -1;
	}
	io->to[IN] = options->stdin_fd;
	io->to[OUT] = options->stdout_fd;
	io->to[ERR] = options->terminal ? -1 : options->stderr_fd;
	io->stop = -1;
	io->in_path = -1;
	atomic_init(&io->idle_ms, -1);
	return io;
}

static void set_path(struct process_io *io, int i, char *take_path)
{
	free(io->paths[i]);
	io->paths[i] = take_path;
}

static struct err *open_reader(struct process_io *io, int i)
{
	struct stat st;
	autofd fd = open(io->paths[i], O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return err_sys(errno, "open fifo %s", io->paths[i]);
	if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		return err_new(ERR_INVALID, "%s is not a fifo", io->paths[i]);
	io->from[i] = TAKE_FD(fd);
	return NULL;
}

static struct err *make_fifos(struct process_io *io, const char *id)
{
	static const char *const names[STREAMS] = {"stdin", "stdout", "stderr"};

	for (int i = 0; i < STREAMS; i++) {
		if (io->to[i] < 0)
			continue;
		set_path(io, i, xasprintf("%s/%s-%s", io->dir, id, names[i]));
		if (mkfifo(io->paths[i], 0700) < 0)
			return err_sys(errno, "mkfifo %s", io->paths[i]);
		if (i != IN)
			TRY(open_reader(io, i));
	}
	return NULL;
}

struct err *process_io_new(
	const char *id, const struct ctd_io_options *options, struct process_io **ret)
{
	autoptr(process_io) io = io_new(options);

	if (options->null) {
		io->to[IN] = io->to[OUT] = io->to[ERR] = -1;
	} else if (!str_empty(options->log_uri)) {
		io->to[IN] = io->to[OUT] = io->to[ERR] = -1;
		set_path(io, OUT, xstrdup(options->log_uri));
		set_path(io, ERR, xstrdup(options->log_uri));
	} else {
		const char *root = str_empty(options->fifo_dir) ? FIFO_DIR : options->fifo_dir;

		TRY(mkdir_p(root, 0700));
		io->dir = xasprintf("%s/XXXXXX", root);
		if (!mkdtemp(io->dir)) {
			int errnum = errno;

			free(io->dir);
			io->dir = NULL;
			return err_sys(errnum, "mkdtemp in %s", root);
		}
		struct err *e = make_fifos(io, id);
		if (e) {
			process_io_remove(io);
			return e;
		}
	}
	*ret = TAKE(io);
	return NULL;
}

struct err *process_io_attach(
	const struct ctd_task *task, const struct ctd_io_options *options, struct process_io **ret)
{
	autoptr(process_io) io = io_new(options);
	const char *paths[STREAMS] = {task->std_in, task->std_out, task->std_err};

	for (int i = 0; i < STREAMS; i++) {
		if (*paths[i] != '/')
			io->to[i] = -1;
		if (io->to[i] < 0)
			continue;
		set_path(io, i, xstrdup(paths[i]));
		if (i != IN)
			TRY(open_reader(io, i));
	}
	*ret = TAKE(io);
	return NULL;
}

/* One turn of one stream; false when it has ended. When nobody takes our output, it is thrown away:
 * the container must not stall for it. */
static bool carry(struct process_io *io, int i, char *buffer)
{
	ssize_t n = read(io->from[i], buffer, COPY_BYTES);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	if (io->to[i] >= 0 && write_full(io->to[i], buffer, (size_t)n) < 0)
		io->to[i] = -1;
	return true;
}

static void *output_thread(void *arg)
{
	struct process_io *io = arg;
	autofree char *buffer = xmalloc(COPY_BYTES);
	struct pollfd polls[] = {
		{.fd = io->from[OUT], .events = POLLIN},
		{.fd = io->from[ERR], .events = POLLIN},
		{.fd = io->stop, .events = POLLIN},
	};

	while (polls[0].fd >= 0 || polls[1].fd >= 0) {
		int idle_ms = atomic_load(&io->idle_ms);
		int n = poll(polls, ARRAY_LEN(polls), idle_ms);

		if (n < 0 && errno != EINTR)
			break;
		if (n == 0)
			break;
		for (int i = 0; n > 0 && i < 2; i++) {
			if (polls[i].revents && !carry(io, OUT + i, buffer))
				polls[i].fd = -1;
		}
		/* From the stop on, only what comes without a pause. */
		if (polls[2].revents)
			polls[2].fd = -1;
	}
	return NULL;
}

/* All of it to the FIFO; false when the shim is gone or we are to stop. */
static bool feed(struct process_io *io, int fifo, const char *data, size_t len)
{
	struct pollfd polls[] = {
		{.fd = fifo, .events = POLLOUT},
		{.fd = io->stop, .events = POLLIN},
	};

	while (len > 0) {
		ssize_t n = write(fifo, data, len);

		if (n > 0) {
			data += n;
			len -= (size_t)n;
			continue;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if ((poll(polls, ARRAY_LEN(polls), -1) < 0 && errno != EINTR) || polls[1].revents)
			return false;
	}
	return true;
}

/* True when the source has come to its end, false when we are to stop. */
static bool carry_input(struct process_io *io, int fifo)
{
	autofree char *buffer = xmalloc(COPY_BYTES);
	struct pollfd polls[] = {
		{.fd = io->to[IN], .events = POLLIN},
		{.fd = io->stop, .events = POLLIN},
	};

	for (;;) {
		if (poll(polls, ARRAY_LEN(polls), -1) < 0 && errno != EINTR)
			return false;
		if (polls[1].revents)
			return false;
		if (!polls[0].revents)
			continue;
		ssize_t n = read(io->to[IN], buffer, COPY_BYTES);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return true;
		if (!feed(io, fifo, buffer, (size_t)n))
			return false;
	}
}

static int open_in(const struct process_io *io, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", io->in_path);
	return open(path, flags | O_CLOEXEC);
}

static void *input_thread(void *arg)
{
	struct process_io *io = arg;
	int fifo = open_in(io, O_WRONLY);
	bool ended;

	if (fifo < 0)
		return NULL;
	fcntl(fifo, F_SETFL, O_NONBLOCK);
	ended = carry_input(io, fifo);
	close(fifo);
	if (ended && io->stdin_ended)
		io->stdin_ended(io->arg);
	return NULL;
}

struct err *process_io_start(struct process_io *io, void (*stdin_ended)(void *arg), void *arg)
{
	io->stdin_ended = stdin_ended;
	io->arg = arg;
	io->stop = eventfd(0, EFD_CLOEXEC);
	if (io->stop < 0)
		return err_sys(errno, "eventfd");
	if (io->from[OUT] >= 0 || io->from[ERR] >= 0) {
		TRY(thread_start("output", output_thread, io, &io->output));
		io->has_output = true;
	}
	if (io->to[IN] >= 0) {
		io->in_path = open(io->paths[IN], O_PATH | O_CLOEXEC);
		if (io->in_path < 0)
			return err_sys(errno, "open fifo %s", io->paths[IN]);
		TRY(thread_start("input", input_thread, io, &io->input));
		io->has_input = true;
	}
	return NULL;
}

static void stop(struct process_io *io, int idle_ms)
{
	uint64_t one = 1;

	atomic_store(&io->idle_ms, idle_ms);
	if (io->stop >= 0 && write(io->stop, &one, sizeof(one)) != sizeof(one))
		return;
	if (io->has_output)
		pthread_join(io->output, NULL);
	io->has_output = false;
	if (io->has_input) {
		/* Somebody who reads lets a thread out of open(2). */
		autofd reader = open_in(io, O_RDONLY | O_NONBLOCK);

		pthread_join(io->input, NULL);
	}
	io->has_input = false;
}

void process_io_finish(struct process_io *io, int idle_ms)
{
	stop(io, idle_ms);
}

void process_io_free(struct process_io *io)
{
	if (!io)
		return;
	stop(io, 0);
	for (int i = 0; i < STREAMS; i++) {
		if (io->from[i] >= 0)
			close(io->from[i]);
		free(io->paths[i]);
	}
	if (io->stop >= 0)
		close(io->stop);
	if (io->in_path >= 0)
		close(io->in_path);
	free(io->dir);
	free(io);
}

/* Whether a program has the FIFO open for reading. A shim holds both ends of every FIFO it uses, and
 * a client reads the output. */
static bool has_reader(const char *path)
{
	autofd fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 || errno != ENXIO;
}

static void sweep_dir(const char *dir, const char *id)
{
	static const char *const names[] = {"stdin", "stdout", "stderr"};
	char *paths[STREAMS];
	bool in_use = false;
	size_t n = 0;

	for (int i = 0; i < STREAMS; i++) {
		struct stat st;
		char *path = xasprintf("%s/%s-%s", dir, id, names[i]);

		if (lstat(path, &st) < 0 || !S_ISFIFO(st.st_mode)) {
			free(path);
			continue;
		}
		in_use |= has_reader(path);
		paths[n++] = path;
	}
	if (!in_use)
		fifos_remove((const char *const *)paths, n);
	while (n)
		free(paths[--n]);
}

void fifos_sweep(const char *id)
{
	DIR *top = opendir(FIFO_DIR);
	struct dirent *d;

	while (top && (d = readdir(top))) {
		autofree char *dir = path_join(FIFO_DIR, d->d_name);

		if (d->d_name[0] != '.')
			sweep_dir(dir, id);
	}
	if (top)
		closedir(top);
}
