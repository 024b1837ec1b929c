// SPDX-License-Identifier: Apache-2.0
/*
 * The one owner of wait statuses. The shim is a subreaper: processes of containers become its
 * children when the runtime's command ends. An exit that is reaped before anybody claimed the pid
 * is kept while a hold is taken, so a process that ends before its pid is known is not lost.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/timestamp.h"
#include "event/loop.h"

struct child_exit {
	pid_t pid;
	uint32_t status; /* the exit code, or 128 + the signal */
	struct timestamp at;
};

typedef void (*reaper_fn)(void *arg, const struct child_exit *exit);

struct reaper;

/* Becomes subreaper and takes SIGCHLD on the loop. */
CHECKED struct err *reaper_new(struct loop *loop, struct reaper **ret);
void reaper_free(struct reaper *r);

/* From now on exits of unknown pids are kept, until as many releases as holds. Returns a mark for
 * reaper_claim(). */
uint64_t reaper_hold(struct reaper *r);
void reaper_release(struct reaper *r);
/* Call fn once when the pid exits; within this call when an exit reaped after the mark is kept. */
void reaper_claim(struct reaper *r, pid_t pid, uint64_t mark, reaper_fn fn, void *arg);
/* For a child that was started just now and cannot have been reaped yet. */
void reaper_claim_new(struct reaper *r, pid_t pid, reaper_fn fn, void *arg);
/* Forget the claim; the exit is reaped silently. */
void reaper_disown(struct reaper *r, pid_t pid);
