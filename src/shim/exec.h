// SPDX-License-Identifier: Apache-2.0
/* Starting programs from the shim's one thread: posix_spawn, never fork. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct exec_options {
	char *const *argv; /* argv[0] is searched in PATH when it has no slash */
	char *const *env;  /* NULL: ours */
	const int *fds;	   /* what the child has as 0, 1, 2, ...; -1 is /dev/null */
	size_t n_fds;	   /* 0: 0-2 are /dev/null */
	bool new_session;
};

/* The child starts with an empty signal mask and default dispositions. A program that is not there
 * is ERR_NOT_FOUND in the words of Go's os/exec. */
CHECKED struct err *exec_start(const struct exec_options *options, pid_t *ret);
