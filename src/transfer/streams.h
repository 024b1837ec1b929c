// SPDX-License-Identifier: Apache-2.0
/*
 * Side streams by name: a client opens one, and names it in a later call, which then reads or writes
 * it. What carries it is the implementation's; here it is bytes, or messages with a type. A stream is
 * used by one call at a time and for one thing; afterwards it is closed. Nothing waits for a stream
 * that nobody uses: it costs its entry here and no thread.
 */
#pragma once

#include <stdbool.h>

#include "base/any.h"
#include "meta/db.h"

#define STREAMS_MAX 1024 /* of all clients together */
#define STREAM_ID_MAX 1024
#define STREAM_WINDOW_BYTES 65536 /* what the receiver of bytes opens at a time */

struct stream;

struct stream_ops {
	/* The next bytes, valid until the next call; *ret_len 0 at the end. */
	struct err *(*read)(struct stream *s, const void **ret, size_t *ret_len);
	/* Waits for the peer to take them. */
	struct err *(*write)(struct stream *s, const void *data, size_t len);
	/* Waits for a second at most until the reader shows that it has gone on: one that opens its
	 * window as containerd's clients do tells so of each multiple of the window that it passes. */
	void (*flush)(struct stream *s);
	/* One message; fails rather than waits when the peer does not read. */
	struct err *(*post)(struct stream *s, const struct any *message);
	/* Let a read that waits see the end. Any thread. */
	void (*stop)(struct stream *s);
	/* The end, once: the stream may not be touched afterwards. */
	void (*close)(struct stream *s, struct err *take_e);
};

/* First member of every implementation. */
struct stream {
	const struct stream_ops *ops;
	/* the registry's */
	char *ns, *id;
	bool in_use, removed;
};

struct streams;

struct streams *streams_new(void);
void streams_free(struct streams *t); /* when no stream is left */
DEFINE_AUTOPTR(streams, streams_free);

/* Enter a stream under its name. `started` is called while nobody else can use the stream yet: an
 * error takes it out again. ERR_EXISTS for a name that is taken. */
CHECKED struct err *streams_add(struct streams *t, const struct scope *scope, const char *id,
	struct stream *s, struct err *(*started)(struct stream *s));
/* The stream for one use, which stream_end() ends. ERR_NOT_FOUND, ERR_PRECONDITION when it is in use
 * already. */
CHECKED struct err *streams_use(
	struct streams *t, const struct scope *scope, const char *id, struct stream **ret);
/* Takes the stream out and closes it. NULL-safe. */
void streams_end(struct streams *t, struct stream *s);
/* The peer has gone: a stream that is not in use is taken out and closed; one that is in use fails
 * its user's next call. Does not block. */
void streams_lost(struct streams *t, struct stream *s);
CHECKED struct err *stream_read(struct stream *s, const void **ret, size_t *ret_len);
CHECKED struct err *stream_write(struct stream *s, const void *data, size_t len);
void stream_flush(struct stream *s);
CHECKED struct err *stream_post(struct stream *s, const struct any *message);
void stream_stop(struct stream *s);
