// SPDX-License-Identifier: Apache-2.0
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/timestamp.h"

extern char **environ;

static bool has_target(const struct spawn_options *o, int to)
{
	for (size_t i = 0; i < o->n_fds; i++) {
		if (o->fds[i].to == to)
			return true;
	}
	return false;
}

static int highest_target(const struct spawn_options *o)
{
	int highest = STDERR_FILENO;

	for (size_t i = 0; i < o->n_fds; i++)
		highest = MAX(highest, o->fds[i].to);
	return highest;
}

/* Whether giving the descriptors their numbers one by one would overwrite one that is still
 * needed. */
static bool has_overlap(const struct spawn_options *o)
{
	for (size_t i = 0; i < o->n_fds; i++) {
		for (size_t k = i + 1; k < o->n_fds; k++) {
			if (o->fds[k].from == o->fds[i].to)
				return true;
		}
	}
	return false;
}

/* The calls only append to a list and fail for lack of memory alone. */
static void map_fds(posix_spawn_file_actions_t *actions, const struct spawn_options *o)
{
	int highest = highest_target(o);
	bool aside = has_overlap(o);
	int spare = highest + 1;

	for (size_t i = 0; i < o->n_fds; i++)
		spare = MAX(spare, o->fds[i].from + 1);
	for (size_t i = 0; aside && i < o->n_fds; i++)
		posix_spawn_file_actions_adddup2(actions, o->fds[i].from, spare + (int)i);
	for (size_t i = 0; i < o->n_fds; i++)
		posix_spawn_file_actions_adddup2(
			actions, aside ? spare + (int)i : o->fds[i].from, o->fds[i].to);
	for (int fd = 0; fd <= highest; fd++) {
		if (has_target(o, fd))
			continue;
		if (fd <= STDERR_FILENO)
			posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_RDWR, 0);
		else
			posix_spawn_file_actions_addclose(actions, fd);
	}
	posix_spawn_file_actions_addclosefrom_np(actions, highest + 1);
}

/* Signals as a fresh program expects them, whatever our threads block or ignore. */
static void set_attributes(posix_spawnattr_t *attr, const struct spawn_options *o)
{
	short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
	sigset_t set;

	/* Not sigfillset(3), which leaves out the signals that libc keeps for itself. */
	memset(&set, 0xff, sizeof(set));
	posix_spawnattr_setsigdefault(attr, &set);
	sigemptyset(&set);
	posix_spawnattr_setsigmask(attr, &set);
	if (o->new_group) {
		flags |= POSIX_SPAWN_SETPGROUP;
		posix_spawnattr_setpgroup(attr, 0);
	}
	posix_spawnattr_setflags(attr, flags);
}

static int call_spawn(const struct spawn_options *o, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	char *const *env = o->env ? o->env : environ;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	map_fds(&actions, o);
	set_attributes(&attr, o);
	if (o->cwd)
		posix_spawn_file_actions_addchdir_np(&actions, o->cwd);
	if (strchr(o->path, '/'))
		r = posix_spawn(ret, o->path, &actions, &attr, o->argv, env);
	else
		r = posix_spawnp(ret, o->path, &actions, &attr, o->argv, env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return r;
}

struct err *spawn(const struct spawn_options *options, struct child *ret)
{
	struct child c = {-1, -1};
	int r = call_spawn(options, &c.pid);

	if (r && options->cwd && access(options->cwd, X_OK) < 0)
		return err_reclass(err_sys(errno, "start %s: working directory %s", options->path,
					   options->cwd),
			ERR_PRECONDITION);
	if (r)
		return err_sys(r, "start %s", options->path);
	c.pidfd = pidfd_open(c.pid, 0);
	if (c.pidfd < 0) {
		int errnum = errno;

		kill(c.pid, SIGKILL);
		while (waitpid(c.pid, NULL, 0) < 0 && errno == EINTR)
			;
		return err_sys(errnum, "start %s: open a descriptor of its process", options->path);
	}
	*ret = c;
	return NULL;
}

static struct err *reap(struct child *c, int *ret_status)
{
	int status = 0;
	pid_t r;

	do {
		r = waitpid(c->pid, &status, 0);
	} while (r < 0 && errno == EINTR);
	close(c->pidfd);
	c->pidfd = -1;
	if (r < 0)
		return err_sys(errno, "wait for process %d", (int)c->pid);
	*ret_status = status;
	return NULL;
}

static struct err *kill_and_reap(struct child *c, struct err *take_why)
{
	int status;

	pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0);
	err_free(reap(c, &status));
	return err_wrap(take_why, "process %d was killed", (int)c->pid);
}

/* Milliseconds for poll(2) until the deadline; -1 without one. */
static int poll_timeout(int64_t deadline_ms)
{
	int64_t left;

	if (deadline_ms < 0)
		return -1;
	left = deadline_ms - monotonic_ms();
	return (int)MIN(MAX(left, (int64_t)0), (int64_t)INT32_MAX);
}

/* Why waiting must end before the child does, or NULL. */
static struct err *check_patience(int64_t deadline_ms, const struct cancel *cancel)
{
	TRY(cancel_check(cancel));
	if (deadline_ms >= 0 && monotonic_ms() >= deadline_ms)
		return err_new(ERR_DEADLINE, "it took longer than its deadline");
	return NULL;
}

struct err *child_wait(struct child *c, int64_t deadline_ms, struct cancel *cancel, int *ret_status)
{
	struct pollfd fds[] = {{c->pidfd, POLLIN, 0}, {cancel_fd(cancel), POLLIN, 0}};

	for (;;) {
		int r = poll(fds, ARRAY_LEN(fds), poll_timeout(deadline_ms));
		struct err *e;

		if (r > 0 && fds[0].revents)
			return reap(c, ret_status);
		e = check_patience(deadline_ms, cancel);
		if (e)
			return kill_and_reap(c, e);
		if (r < 0 && errno != EINTR)
			return kill_and_reap(c, err_sys(errno, "poll"));
	}
}

void spawn_result_done(struct spawn_result *r)
{
	free(r->out);
	free(r->err_out);
	*r = (struct spawn_result){0};
}

/* The two pipes from the child; -1 once they ended. */
struct outputs {
	int fds[2];
	struct buf bufs[2];
};

static void outputs_done(struct outputs *o)
{
	for (int i = 0; i < 2; i++) {
		if (o->fds[i] >= 0)
			close(o->fds[i]);
		buf_done(&o->bufs[i]);
	}
}
DEFINE_AUTOVAL(outputs, outputs_done);

/* Keep what fits, throw the rest away: the child must not block on a full pipe. */
static void drain(struct outputs *o, int i)
{
	char chunk[4096];

	while (o->fds[i] >= 0) {
		ssize_t n = read(o->fds[i], chunk, sizeof(chunk));
		size_t room = o->bufs[i].max - o->bufs[i].len;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			close(o->fds[i]);
			o->fds[i] = -1;
			return;
		}
		if (room && !buf_append(&o->bufs[i], chunk, MIN(room, (size_t)n)))
			o->bufs[i].max = o->bufs[i].len;
	}
}

/* Follow the child's output until it exits. Pipes that its own children keep open do not count. */
static struct err *follow(struct child *c, struct outputs *o, int64_t deadline_ms,
	struct cancel *cancel, int *ret_status)
{
	for (;;) {
		struct pollfd fds[] = {{c->pidfd, POLLIN, 0}, {cancel_fd(cancel), POLLIN, 0},
			{o->fds[0], POLLIN, 0}, {o->fds[1], POLLIN, 0}};
		int r = poll(fds, ARRAY_LEN(fds), poll_timeout(deadline_ms));
		struct err *e;

		if (r < 0 && errno != EINTR)
			return kill_and_reap(c, err_sys(errno, "poll"));
		if (r > 0) {
			drain(o, 0);
			drain(o, 1);
		}
		if (r > 0 && fds[0].revents)
			return reap(c, ret_status);
		e = check_patience(deadline_ms, cancel);
		if (e)
			return kill_and_reap(c, e);
	}
}

/* A file in memory with the input, so that nobody has to feed a pipe. */
static struct err *input_file(const void *input, size_t len, int *ret)
{
	autofd fd = memfd_create("input", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return err_sys(errno, "create a file in memory");
	r = write_full(fd, input, len);
	if (r < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(r < 0 ? -r : errno, "write a file in memory");
	*ret = TAKE_FD(fd);
	return NULL;
}

/* Our end does not block, the child's does. */
static struct err *output_pipe(int *ret_ours, int *ret_theirs)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(errno, "create a pipe");
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) {
		int errnum = errno;

		close(ends[0]);
		close(ends[1]);
		return err_sys(errnum, "create a pipe");
	}
	*ret_ours = ends[0];
	*ret_theirs = ends[1];
	return NULL;
}

struct err *spawn_run(const struct spawn_options *options, const void *input, size_t input_len,
	size_t max, int64_t deadline_ms, struct cancel *cancel, struct spawn_result *ret)
{
	autoval(outputs) o = {{-1, -1}, {BUF_INIT(max), BUF_INIT(max)}};
	autofree struct spawn_fd *fds = xcalloc(options->n_fds + 3, sizeof(*fds));
	struct spawn_options all = *options;
	autofd in = -1;
	autofd out = -1;
	autofd err_out = -1;
	struct child c;
	int status;

	if (options->n_fds)
		memcpy(fds, options->fds, options->n_fds * sizeof(*fds));
	all.fds = fds;
	if (input) {
		TRY(input_file(input, input_len, &in));
		fds[all.n_fds++] = (struct spawn_fd){in, STDIN_FILENO};
	}
	TRY(output_pipe(&o.fds[0], &out));
	TRY(output_pipe(&o.fds[1], &err_out));
	fds[all.n_fds++] = (struct spawn_fd){out, STDOUT_FILENO};
	fds[all.n_fds++] = (struct spawn_fd){err_out, STDERR_FILENO};
	TRY(spawn(&all, &c));
	close(TAKE_FD(out));
	close(TAKE_FD(err_out));
	TRY(err_wrap(follow(&c, &o, deadline_ms, cancel, &status), "%s", options->path));
	*ret = (struct spawn_result){.status = status};
	ret->out = buf_take(&o.bufs[0], &ret->out_len);
	ret->err_out = buf_take(&o.bufs[1], &ret->err_len);
	return NULL;
}
