// SPDX-License-Identifier: Apache-2.0
#include "shim/oom.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "base/alloc.h"
#include "base/fs.h"

struct oom_watch {
	char *dir;
	bool unified;
	int fd; /* eventfd or inotify */
	struct loop_io *io;
	uint64_t kills; /* version 2: told so far */
	oom_fn fn;
	void *arg;
};

static uint64_t count_kills(const struct oom_watch *w)
{
	autofree char *text = cgroup_text(w->dir, "memory.events");

	return cgroup_value(text, "oom_kill");
}

static void poll_unified(struct oom_watch *w)
{
	char events[1024];
	uint64_t kills;

	while (read(w->fd, events, sizeof(events)) > 0)
		;
	kills = count_kills(w);
	if (kills <= w->kills)
		return;
	w->kills = kills;
	w->fn(w->arg);
}

/* The eventfd also fires when the group is removed. */
static void poll_v1(struct oom_watch *w)
{
	autofree char *control = NULL;
	uint64_t n;

	if (read(w->fd, &n, sizeof(n)) != (ssize_t)sizeof(n))
		return;
	control = path_join(w->dir, "memory.oom_control");
	if (access(control, F_OK) == 0) {
		w->fn(w->arg);
		return;
	}
	loop_io_remove(w->io);
	w->io = NULL;
}

void oom_watch_poll(struct oom_watch *w)
{
	if (!w)
		return;
	if (w->unified)
		poll_unified(w);
	else
		poll_v1(w);
}

static void on_event(void *arg, unsigned events)
{
	(void)events;
	oom_watch_poll(arg);
}

static struct err *open_v1(struct oom_watch *w)
{
	autofree char *path = path_join(w->dir, "memory.oom_control");
	autofree char *control = path_join(w->dir, "cgroup.event_control"), *line = NULL;
	autofd oom = open(path, O_RDONLY | O_CLOEXEC), out = -1;
	int r;

	if (oom < 0)
		return err_sys(errno, "open %s", path);
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	out = open(control, O_WRONLY | O_CLOEXEC);
	if (w->fd < 0 || out < 0)
		return err_sys(errno, "watch %s", path);
	line = xasprintf("%d %d", w->fd, oom);
	r = write_full(out, line, __builtin_strlen(line));
	return r < 0 ? err_sys(-r, "write %s", control) : NULL;
}

static struct err *open_unified(struct oom_watch *w)
{
	autofree char *path = path_join(w->dir, "memory.events");

	w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->fd < 0)
		return err_sys(errno, "inotify");
	if (inotify_add_watch(w->fd, path, IN_MODIFY) < 0)
		return err_sys(errno, "watch %s", path);
	w->kills = count_kills(w);
	return NULL;
}

struct err *oom_watch_new(struct loop *loop, const struct cgroup *cgroup, oom_fn fn, void *arg,
	struct oom_watch **ret)
{
	const char *dir = cgroup_dir(cgroup, "memory");
	struct oom_watch *w;
	struct err *e;

	if (!dir)
		return err_new(ERR_NOT_FOUND, "no memory controller");
	w = NEW(struct oom_watch);
	*w = (struct oom_watch){.dir = xstrdup(dir),
		.unified = cgroup_is_unified(cgroup),
		.fd = -1,
		.fn = fn,
		.arg = arg};
	e = w->unified ? open_unified(w) : open_v1(w);
	if (!e)
		e = loop_add_io(loop, w->fd, LOOP_READ, on_event, w, &w->io);
	if (e) {
		oom_watch_free(w);
		return e;
	}
	*ret = w;
	return NULL;
}

void oom_watch_free(struct oom_watch *w)
{
	if (!w)
		return;
	loop_io_remove(w->io);
	if (w->fd >= 0)
		close(w->fd);
	free(w->dir);
	free(w);
}
