// SPDX-License-Identifier: Apache-2.0
/*
 * One direction of a process's stdio: moves bytes from a descriptor to another on the loop. Between
 * pipes the kernel moves the pages (splice); otherwise at most one block is held when the receiver
 * is full. A receiver that stopped reading stops only this stream.
 */
#pragma once

#include "event/loop.h"

struct stream;

typedef void (*stream_fn)(void *arg);

/* Takes both descriptors and makes them non-blocking. `ended` (may be NULL) is called once, from
 * the loop, when the source is at its end and everything was delivered, or one side failed; both
 * descriptors are closed by then. */
struct stream *stream_new(
	struct loop *loop, int take_from, int take_to, stream_fn ended, void *arg);
/* Ends as soon as the source has nothing more at hand, also when others keep it open. */
void stream_drain(struct stream *s);
bool stream_ended(const struct stream *s);
/* `ended` is not called any more. NULL-safe. */
void stream_free(struct stream *s);
