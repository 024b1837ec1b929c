// SPDX-License-Identifier: Apache-2.0
/*
 * A bounded stream of bytes between threads: one writer, up to RING_READERS readers who all see
 * every byte, in place and without copies. A slot is free again when the slowest reader has let go
 * of it, so memory never grows and each stage waits for the next.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define RING_READERS 2

struct ring;

struct ring *ring_new(unsigned slots, size_t slot_bytes, unsigned readers);
void ring_free(struct ring *r); /* when no thread uses it any more */
DEFINE_AUTOPTR(ring, ring_free);

/* The writer: an empty slot of slot_bytes, or NULL when the readers have given up. */
uint8_t *ring_slot(struct ring *r);
/* The slot holds that many bytes; at least 1. */
void ring_publish(struct ring *r, size_t len);
/* Nothing comes after this: the end, or the error that every reader gets after the data. */
void ring_finish(struct ring *r, struct err *take_e);

/* A reader: lets go of its last piece and waits for the next; *ret_len is 0 at the end. */
CHECKED struct err *ring_read(
	struct ring *r, unsigned reader, const uint8_t **ret, size_t *ret_len);
/* A reader wants no more: the writer is told, the other readers see the end. */
void ring_abort(struct ring *r);
