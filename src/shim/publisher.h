// SPDX-License-Identifier: Apache-2.0
/*
 * Events on their way to the daemon, in order, one at a time. The daemon may be away: events wait,
 * the connection is tried again with growing pauses. At most 2048 wait; beyond that, the oldest
 * event about a process that a later one supersedes is dropped, so the last word about each process
 * always arrives.
 */
#pragma once

#include <stddef.h>

#include "event/loop.h"

#define PUBLISHER_QUEUE_MAX 2048

struct publisher;

/* `address`: of the daemon's ttrpc socket; NULL or empty: events are dropped. */
struct publisher *publisher_new(struct loop *loop, const char *address, const char *ns);
void publisher_free(struct publisher *p);
/* `message` is packed at once. `subject` names the process the event is about. */
void publisher_send(
	struct publisher *p, const char *topic, const char *subject, const void *message);
/* `done` when nothing is left or the time has passed; from the loop or within this call. */
void publisher_flush(struct publisher *p, int64_t timeout_ms, void (*done)(void *arg), void *arg);
