// SPDX-License-Identifier: Apache-2.0
/* Starting programs: posix_spawn and a pidfd, never fork without exec. */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "base/strv.h"
#include "base/thread.h"

struct spawn_fd {
	int from, to; /* ours, and the number in the child */
};

struct spawn_options {
	const char *path;	    /* searched in PATH when it has no slash */
	char *const *argv;	    /* with argv[0], NULL-terminated */
	char *const *env;	    /* NULL: ours */
	const char *cwd;	    /* NULL: ours */
	const struct spawn_fd *fds; /* everything else is closed; 0-2 not listed are /dev/null */
	size_t n_fds;
	bool new_group; /* a process group of its own */
};

struct child {
	pid_t pid;
	int pidfd;
};

/* ERR_NOT_FOUND when the program is not there. */
CHECKED struct err *spawn(const struct spawn_options *options, struct child *ret);
/* Waits for the exit and closes the pidfd; the status is as of waitpid(2). When `cancel` fires or
 * the deadline (monotonic_ms, -1 none) passes first, kills the child, reaps it and says so. */
CHECKED struct err *child_wait(
	struct child *c, int64_t deadline_ms, struct cancel *cancel, int *ret_status);

/* Run to the end, feeding `input` (may be NULL) and collecting at most max bytes of stdout and of
 * stderr each (may be NULL: /dev/null). */
struct spawn_result {
	int status;	     /* as of waitpid(2) */
	char *out, *err_out; /* NUL-terminated, owned */
	size_t out_len, err_len;
};
void spawn_result_done(struct spawn_result *r);
DEFINE_AUTOVAL(spawn_result, spawn_result_done);
CHECKED struct err *spawn_run(const struct spawn_options *options, const void *input,
	size_t input_len, size_t max, int64_t deadline_ms, struct cancel *cancel,
	struct spawn_result *ret);
