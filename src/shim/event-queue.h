// SPDX-License-Identifier: Apache-2.0
/* The waiting room of the publisher: first in, first out, bounded by superseding. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct queued_event {
	struct list node;
	char *topic, *subject; /* owned */
	unsigned tries;
	size_t len;
	uint8_t body[]; /* a packed containerd.types.Envelope */
};

struct event_queue {
	struct list events; /* owned */
	size_t n, max;
	uint64_t dropped;
};

void event_queue_init(struct event_queue *q, size_t max);
void event_queue_done(struct event_queue *q);
void event_queue_push(struct event_queue *q, const char *topic, const char *subject,
	const void *body, size_t len);
/* NULL when empty; stays in the queue. */
struct queued_event *event_queue_first(struct event_queue *q);
void event_queue_pop(struct event_queue *q);
