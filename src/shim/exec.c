// SPDX-License-Identifier: Apache-2.0
#include "shim/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>

#include "base/strv.h"

#define FDS_MAX 8
/* Sources are lifted above every number a child may ask for, so that no dup2 overwrites one that
 * is still to come. */
#define LIFTED 16

struct plan {
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int lifted[FDS_MAX];
	size_t n_lifted;
};

static void plan_init(struct plan *p)
{
	posix_spawn_file_actions_init(&p->actions);
	posix_spawnattr_init(&p->attributes);
	p->n_lifted = 0;
}

static void plan_done(struct plan *p)
{
	posix_spawn_file_actions_destroy(&p->actions);
	posix_spawnattr_destroy(&p->attributes);
	for (size_t i = 0; i < p->n_lifted; i++)
		close(p->lifted[i]);
}
DEFINE_AUTOVAL(plan, plan_done);

static struct err *plan_fd(struct plan *p, int from, int to)
{
	if (from < 0) {
		posix_spawn_file_actions_addopen(&p->actions, to, "/dev/null", O_RDWR, 0);
		return NULL;
	}
	if (from < LIFTED) {
		from = fcntl(from, F_DUPFD_CLOEXEC, LIFTED);
		if (from < 0)
			return err_sys(errno, "duplicate a descriptor");
		p->lifted[p->n_lifted++] = from;
	}
	posix_spawn_file_actions_adddup2(&p->actions, from, to);
	return NULL;
}

static void plan_signals(struct plan *p, bool new_session)
{
	sigset_t none, all;
	short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&p->attributes, &none);
	posix_spawnattr_setsigdefault(&p->attributes, &all);
	if (new_session)
		flags |= POSIX_SPAWN_SETSID;
	posix_spawnattr_setflags(&p->attributes, flags);
}

static struct err *start_error(int errnum, const char *name)
{
	if (errnum == ENOENT && !strchr(name, '/'))
		return err_new(
			ERR_NOT_FOUND, "exec: \"%s\": executable file not found in $PATH", name);
	return err_sys(errnum, "exec: \"%s\"", name);
}

struct err *exec_start(const struct exec_options *options, pid_t *ret)
{
	autoval(plan) p = {0};
	size_t n = MAX(options->n_fds, (size_t)3);
	int r;

	plan_init(&p);
	if (n > FDS_MAX)
		return err_new(ERR_INTERNAL, "too many descriptors for a child");
	for (size_t i = 0; i < n; i++)
		TRY(plan_fd(&p, i < options->n_fds ? options->fds[i] : -1, (int)i));
	plan_signals(&p, options->new_session);
	r = posix_spawnp(ret, options->argv[0], &p.actions, &p.attributes, options->argv,
		options->env ? options->env : environ);
	return r ? start_error(r, options->argv[0]) : NULL;
}
