// SPDX-License-Identifier: Apache-2.0
#include "shim/server.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/strv.h"
#include "rpc/ttrpc.h"
#include "shim/container.h"
#include "shim/sandbox.h"
#include "shim/socket.h"
#include "shim/task-service.h"

#define LISTENER 3 /* inherited from `start` */
#define FLUSH_MS 5000
#define GRACE_MS 1000
#define IDLE_MS 300

struct server {
	struct shim shim;
	struct loop_timer *idle;
	char *socket; /* path; NULL: unknown */
	bool stopping;
};

/* Small and steady: what one call needed goes back to the kernel. */
static void tune_memory(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TOP_PAD, 16 << 10);
	mallopt(M_TRIM_THRESHOLD, 48 << 10);
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
}

/* Where the program is in memory; from the linker. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

/* Code is mapped in windows of 64 kB around what runs. Let go of it once a call is over, so that
 * what stays in memory is what waiting needs: the kernel can then drop the rest of the file. */
static void unmap_code(void)
{
	const ElfW(Phdr) *headers = (const ElfW(Phdr) *)getauxval(AT_PHDR);
	size_t n = getauxval(AT_PHNUM);
	uintptr_t base = (uintptr_t)&__ehdr_start;

	for (size_t i = 0, first = n; i < n; i++) {
		uintptr_t from, to;

		if (headers[i].p_type != PT_LOAD)
			continue;
		first = MIN(first, i);
		from = base + headers[i].p_vaddr - headers[first].p_vaddr;
		to = from + headers[i].p_memsz;
		if (!(headers[i].p_flags & PF_W))
			madvise((void *)(from & ~(uintptr_t)4095), to - (from & ~(uintptr_t)4095),
				MADV_DONTNEED);
	}
}

static void on_idle(void *arg)
{
	(void)arg;
	malloc_trim(0);
	unmap_code();
}

static struct err *on_call(struct rpc_call *call, void *arg)
{
	struct server *s = arg;

	(void)call;
	loop_timer_set(s->idle, IDLE_MS);
	return NULL;
}

/* Log lines go to the daemon's FIFO. Both directions: it stays open when the daemon leaves, and a
 * line that nobody takes is lost rather than waited for. */
static void open_log(void)
{
	int fd = open("log", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return;
	if (fd != STDERR_FILENO) {
		dup3(fd, STDERR_FILENO, 0);
		close(fd);
	}
}

static char *socket_path_of(int fd)
{
	struct sockaddr_un sa = {0};
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0 || sa.sun_family != AF_UNIX ||
		len <= offsetof(struct sockaddr_un, sun_path) || !sa.sun_path[0])
		return NULL;
	return xstrndup(sa.sun_path, len - offsetof(struct sockaddr_un, sun_path));
}

static void on_drained(void *arg)
{
	struct server *s = arg;

	loop_stop(s->shim.loop);
}

static void on_flushed(void *arg)
{
	struct server *s = arg;

	ttrpc_server_drain(s->shim.server, GRACE_MS, on_drained, s);
}

/* The socket goes first: a `start` of the same pod must not find a shim that is about to end. */
static void stop(struct shim *shim)
{
	struct server *s = container_of(shim, struct server, shim);

	if (s->stopping)
		return;
	s->stopping = true;
	if (s->socket)
		unlink(s->socket);
	publisher_flush(shim->publisher, FLUSH_MS, on_flushed, s);
}

static void on_signal(void *arg, int signum)
{
	struct server *s = arg;

	log_info("caught exit signal", "signal", strsignal(signum));
	stop(&s->shim);
}

static struct err *open_listener(const struct flags *f, int *ret)
{
	autofd fd = -1;

	if (!*f->socket) {
		*ret = LISTENER;
		return fcntl(LISTENER, F_SETFD, FD_CLOEXEC) < 0
			       ? err_new(ERR_INVALID, "no socket: give -socket or use `start`")
			       : NULL;
	}
	TRY(socket_listen(f->socket, &fd));
	*ret = TAKE_FD(fd);
	return NULL;
}

static struct err *server_open(struct server *s, const struct flags *f)
{
	const struct ttrpc_server_options options = {.same_user = true};
	int listener = -1;

	s->shim.ns = xstrdup(f->ns);
	s->shim.shutdown = stop;
	TRY(loop_new(&s->shim.loop));
	TRY(reaper_new(s->shim.loop, &s->shim.reaper));
	s->shim.publisher = publisher_new(s->shim.loop, getenv("TTRPC_ADDRESS"), f->ns);
	TRY(open_listener(f, &listener));
	s->socket = socket_path_of(listener);
	s->shim.server = ttrpc_server_new(s->shim.loop, NULL, &options);
	s->idle = loop_timer_new(s->shim.loop, on_idle, s);
	rpc_server_set_check(s->shim.server, on_call, s);
	rpc_server_add(s->shim.server, &task_service_v2, &s->shim);
	rpc_server_add(s->shim.server, &task_service_v3, &s->shim);
	rpc_server_add(s->shim.server, &sandbox_service, &s->shim);
	TRY(loop_add_signal(s->shim.loop, SIGTERM, on_signal, s));
	TRY(loop_add_signal(s->shim.loop, SIGINT, on_signal, s));
	return ttrpc_server_listen(s->shim.server, listener);
}

/* Containers go on without us: what holds memory is given back by the exit. */
static void server_close(struct server *s)
{
	if (s->shim.server)
		ttrpc_server_free(s->shim.server);
	publisher_free(s->shim.publisher);
	loop_timer_free(s->idle);
	reaper_free(s->shim.reaper);
	loop_free(s->shim.loop);
	map_done(&s->shim.containers, NULL);
	free(s->shim.ns);
	free(s->socket);
}

struct err *server_run(const struct flags *flags)
{
	struct server s = {0};
	struct err *e;

	tune_memory();
	signal(SIGPIPE, SIG_IGN);
	open_log();
	if (flags->debug)
		log_set_level(LOG_DEBUG);
	e = server_open(&s, flags);
	if (!e)
		loop_run(s.shim.loop);
	server_close(&s);
	return e;
}
