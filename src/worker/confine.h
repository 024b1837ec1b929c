// SPDX-License-Identifier: Apache-2.0
/*
 * What stands between foreign bytes and the machine. In this order: confine_namespaces(), then
 * whatever has to be mounted, then confine_root() and confine_process(). Each says what it could not
 * do; the worker then refuses the job, it never goes on with less.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum confine_role {
	CONFINE_APPLY,	 /* writes files, owners, devices and xattrs of all kinds */
	CONFINE_DIFF,	 /* reads all files, writes none */
	CONFINE_ARCHIVE, /* from one pipe to another */
};

/* Die with the daemon. */
CHECKED struct err *confine_lifetime(int64_t parent);
/* Mounts, network, SysV IPC and host name of our own; nothing mounted here is seen outside. */
CHECKED struct err *confine_namespaces(void);
/* The directory becomes "/", the rest of the machine's files is gone. */
CHECKED struct err *confine_root(const char *dir);
/* No way to gain privileges, only the capabilities that the role needs, limits, and the system calls
 * of the role. Threads are started after this. */
CHECKED struct err *confine_process(enum confine_role role);
/* Whether this is the machine's first user namespace. */
bool confine_is_user_namespace(void);
