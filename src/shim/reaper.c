// SPDX-License-Identifier: Apache-2.0
#include "shim/reaper.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/alloc.h"

/* More unclaimed exits than this within one runtime command are a fork bomb's orphans: the oldest
 * go. */
#define KEPT_MAX 4096

struct claim {
	pid_t pid;
	reaper_fn fn;
	void *arg;
};

struct kept {
	struct child_exit exit;
	uint64_t number;
};

struct reaper {
	struct claim *claims; /* unordered: a pod has a handful of processes */
	size_t n_claims, cap_claims;
	struct kept *kept; /* oldest first */
	size_t n_kept, cap_kept;
	uint64_t reaped; /* counts all exits */
	unsigned holds;
};

static void keep(struct reaper *r, const struct child_exit *exit)
{
	if (!r->holds)
		return;
	if (r->n_kept == KEPT_MAX) {
		r->n_kept--;
		__builtin_memmove(r->kept, r->kept + 1, r->n_kept * sizeof(*r->kept));
	}
	GROW(r->kept, r->n_kept, r->cap_kept);
	r->kept[r->n_kept++] = (struct kept){*exit, r->reaped};
}

static bool take_claim(struct reaper *r, pid_t pid, struct claim *ret)
{
	for (size_t i = 0; i < r->n_claims; i++) {
		if (r->claims[i].pid != pid)
			continue;
		*ret = r->claims[i];
		r->claims[i] = r->claims[--r->n_claims];
		return true;
	}
	return false;
}

static void on_exit_of(struct reaper *r, const siginfo_t *info)
{
	struct child_exit exit = {
		.pid = info->si_pid,
		.status = (uint32_t)info->si_status + (info->si_code == CLD_EXITED ? 0u : 128u),
		.at = timestamp_now(),
	};
	struct claim claim;

	r->reaped++;
	if (take_claim(r, exit.pid, &claim))
		claim.fn(claim.arg, &exit);
	else
		keep(r, &exit);
}

static void on_sigchld(void *arg, int signum)
{
	struct reaper *r = arg;

	(void)signum;
	for (;;) {
		siginfo_t info = {0};

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0) {
			if (errno == EINTR)
				continue;
			return;
		}
		if (!info.si_pid)
			return;
		on_exit_of(r, &info);
	}
}

struct err *reaper_new(struct loop *loop, struct reaper **ret)
{
	struct reaper *r = NEW(struct reaper);
	struct err *e;

	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
		free(r);
		return err_sys(errno, "become subreaper");
	}
	e = loop_add_signal(loop, SIGCHLD, on_sigchld, r);
	if (e) {
		free(r);
		return e;
	}
	*ret = r;
	return NULL;
}

void reaper_free(struct reaper *r)
{
	if (!r)
		return;
	free(r->claims);
	free(r->kept);
	free(r);
}

uint64_t reaper_hold(struct reaper *r)
{
	r->holds++;
	return r->reaped;
}

void reaper_release(struct reaper *r)
{
	if (--r->holds)
		return;
	free(r->kept);
	r->kept = NULL;
	r->n_kept = r->cap_kept = 0;
}

void reaper_claim_new(struct reaper *r, pid_t pid, reaper_fn fn, void *arg)
{
	GROW(r->claims, r->n_claims, r->cap_claims);
	r->claims[r->n_claims++] = (struct claim){pid, fn, arg};
}

void reaper_claim(struct reaper *r, pid_t pid, uint64_t mark, reaper_fn fn, void *arg)
{
	for (size_t i = 0; i < r->n_kept; i++) {
		struct child_exit exit = r->kept[i].exit;

		if (exit.pid != pid || r->kept[i].number <= mark)
			continue;
		r->n_kept--;
		__builtin_memmove(r->kept + i, r->kept + i + 1, (r->n_kept - i) * sizeof(*r->kept));
		fn(arg, &exit);
		return;
	}
	reaper_claim_new(r, pid, fn, arg);
}

void reaper_disown(struct reaper *r, pid_t pid)
{
	struct claim ignored;

	take_claim(r, pid, &ignored);
}
