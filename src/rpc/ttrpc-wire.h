// SPDX-License-Identifier: Apache-2.0
/*
 * Frames of ttrpc on a connected, non-blocking stream socket. Reading and writing are apart: the
 * reader belongs to the loop's thread, the writer to whoever holds its owner's lock. Neither keeps
 * memory while nothing is under way.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"

#define TTRPC_HEADER 10
/* "message length %u exceed maximum message size of %u" */
#define TTRPC_OVERSIZE "message length %zu exceed maximum message size of %zu"

enum ttrpc_type { TTRPC_REQUEST = 1, TTRPC_RESPONSE = 2, TTRPC_DATA = 3 };
enum ttrpc_flag { TTRPC_REMOTE_CLOSED = 1, TTRPC_REMOTE_OPEN = 2, TTRPC_NO_DATA = 4 };

struct ttrpc_frame {
	uint32_t len, stream;
	uint8_t type, flags;
	const uint8_t *data; /* NULL when len is over TTRPC_MESSAGE_MAX: what came was dropped */
};

struct ttrpc_reader {
	int fd;
	struct ttrpc_frame frame; /* the one under way */
	uint8_t header[TTRPC_HEADER];
	uint8_t header_len;
	uint32_t skip; /* bytes of an oversized frame still to be dropped */
	struct buf body;
};

/* False ends the reading: the connection is being closed. */
typedef bool (*ttrpc_frame_fn)(void *arg, const struct ttrpc_frame *frame);

void ttrpc_reader_init(struct ttrpc_reader *r, int fd);
void ttrpc_reader_done(struct ttrpc_reader *r);
/* Takes what is there, up to a bound that keeps the loop fair. False when the connection is over:
 * the peer closed it, it failed, or what came is no ttrpc. */
bool ttrpc_reader_run(struct ttrpc_reader *r, ttrpc_frame_fn fn, void *arg);

struct ttrpc_writer {
	int fd;
	bool broken;
	struct buf queue;
};

void ttrpc_writer_init(struct ttrpc_writer *w, int fd, size_t max_queue);
void ttrpc_writer_done(struct ttrpc_writer *w);
/* Sends at once what the socket takes and queues the rest. False when the queue is full (nothing of
 * the frame was sent) or the connection broken. The length is at most TTRPC_MESSAGE_MAX. */
bool ttrpc_writer_send(struct ttrpc_writer *w, uint32_t stream, enum ttrpc_type type,
	const void *data, size_t len);
/* Sends from the queue what the socket takes; false when the connection is broken. */
bool ttrpc_writer_flush(struct ttrpc_writer *w);
