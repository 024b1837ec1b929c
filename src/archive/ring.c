// SPDX-License-Identifier: Apache-2.0
#include "archive/ring.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/thread.h"

struct ring {
	struct lock lock;
	struct cond changed;
	uint8_t *memory;
	size_t slot_bytes;
	unsigned slots, readers;
	size_t *lens; /* of each slot */
	/* guarded by lock */
	uint64_t published;
	uint64_t released[RING_READERS]; /* slots that the reader is done with */
	uint64_t taken[RING_READERS];	 /* slots that were handed to the reader */
	struct err *error;
	bool finished, aborted;
};

struct ring *ring_new(unsigned slots, size_t slot_bytes, unsigned readers)
{
	struct ring *r = NEW(struct ring);

	assert(readers > 0 && readers <= RING_READERS);
	lock_init(&r->lock);
	cond_init(&r->changed);
	r->memory = xreallocarray(NULL, slots, slot_bytes);
	r->lens = xcalloc(slots, sizeof(*r->lens));
	r->slot_bytes = slot_bytes;
	r->slots = slots;
	r->readers = readers;
	return r;
}

void ring_free(struct ring *r)
{
	if (!r)
		return;
	err_free(r->error);
	cond_done(&r->changed);
	lock_done(&r->lock);
	free(r->memory);
	free(r->lens);
	free(r);
}

static uint64_t slowest(const struct ring *r)
{
	uint64_t least = r->released[0];

	for (unsigned i = 1; i < r->readers; i++)
		least = MIN(least, r->released[i]);
	return least;
}

uint8_t *ring_slot(struct ring *r)
{
	LOCKED(&r->lock);
	while (!r->aborted && r->published - slowest(r) >= r->slots)
		cond_wait(&r->changed, &r->lock);
	return r->aborted ? NULL : r->memory + r->published % r->slots * r->slot_bytes;
}

void ring_publish(struct ring *r, size_t len)
{
	LOCKED(&r->lock);
	assert(len > 0 && len <= r->slot_bytes);
	r->lens[r->published++ % r->slots] = len;
	cond_broadcast(&r->changed);
}

void ring_finish(struct ring *r, struct err *take_e)
{
	LOCKED(&r->lock);
	r->error = take_e;
	r->finished = true;
	cond_broadcast(&r->changed);
}

struct err *ring_read(struct ring *r, unsigned reader, const uint8_t **ret, size_t *ret_len)
{
	LOCKED(&r->lock);
	if (r->released[reader] != r->taken[reader]) {
		r->released[reader] = r->taken[reader];
		cond_broadcast(&r->changed);
	}
	while (!r->aborted && !r->finished && r->published == r->taken[reader])
		cond_wait(&r->changed, &r->lock);
	*ret = NULL;
	*ret_len = 0;
	if (r->aborted)
		return NULL;
	if (r->published == r->taken[reader])
		return r->error ? err_copy(r->error) : NULL;
	*ret = r->memory + r->taken[reader] % r->slots * r->slot_bytes;
	*ret_len = r->lens[r->taken[reader]++ % r->slots];
	return NULL;
}

void ring_abort(struct ring *r)
{
	LOCKED(&r->lock);
	r->aborted = true;
	cond_broadcast(&r->changed);
}
