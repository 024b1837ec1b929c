// SPDX-License-Identifier: Apache-2.0
#include "client/content-internal.h"

#include <containerd/content.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "proto/content.pb-c.h"

#define SERVICE "/containerd.services.content.v1.Content/"
#define IN_FLIGHT_MAX 8	     /* pieces sent and not yet answered */
#define LOCKED_WAIT_MS 10000 /* for another writer of the same reference */

struct content_writer {
	struct scope scope;
	struct grpc_stream *stream;
	char *ref, *expected; /* expected may be NULL */
	int64_t size;	      /* promised, 0: not known */
	int64_t offset;	      /* sent */
	unsigned in_flight;
	bool exists, committed;
	char digest[DIGEST_MAX]; /* of what the daemon has answered for */
};

/* An answer that says the blob is there makes the writer one that has nothing to do. */
static struct err *receive(struct content_writer *w, Content__WriteContentResponse *ret)
{
	autoptr(arena) arena = arena_new();
	void *message;
	struct err *e = call_error(grpc_stream_recv(w->stream, arena, &message));

	if (err_is(e, ERR_EXISTS)) {
		err_free(e);
		w->exists = true;
		return NULL;
	}
	TRY(e);
	if (!message)
		return err_new(ERR_INTERNAL, "the daemon ended the write %s early", w->ref);
	const Content__WriteContentResponse *reply = message;
	w->in_flight--;
	ret->offset = reply->offset;
	if (strlen(reply->digest) < sizeof(w->digest))
		memcpy(w->digest, reply->digest, strlen(reply->digest) + 1);
	return NULL;
}

static struct err *send(struct content_writer *w, Content__WriteContentRequest *request)
{
	struct err *e = grpc_stream_send(w->stream, request);

	w->in_flight++;
	/* The reason for a stream that ended comes with the next answer. */
	if (err_is(e, ERR_UNAVAILABLE)) {
		Content__WriteContentResponse reply;

		err_free(e);
		while (!w->exists)
			TRY(receive(w, &reply));
		return NULL;
	}
	return call_error(e);
}

static struct err *open_once(struct content_writer *w)
{
	Content__WriteContentRequest request = CONTENT__WRITE_CONTENT_REQUEST__INIT;
	Content__WriteContentResponse reply = CONTENT__WRITE_CONTENT_RESPONSE__INIT;

	TRY(call_stream(&w->scope, SERVICE "Write", &content__write_content_response__descriptor,
		&w->stream));
	request.action = CONTENT__WRITE_ACTION__STAT;
	request.ref = w->ref;
	request.total = w->size;
	request.expected = (char *)str_or(w->expected, "");
	TRY(send(w, &request));
	if (!w->exists)
		TRY(receive(w, &reply));
	/* What an earlier try left is of no use: the source is read from its start. The first write
	 * at offset 0 makes the daemon drop it. */
	return NULL;
}

struct err *content_writer_open(const struct scope *s, const char *ref, int64_t size,
	const char *digest, struct content_writer **ret)
{
	autoptr(content_writer) w = NEW(struct content_writer);
	int64_t until = monotonic_ms() + LOCKED_WAIT_MS;

	w->scope = *s;
	w->ref = xstrdup(ref);
	w->expected = xstrdup(digest);
	w->size = size;
	for (int wait_ms = 5;; wait_ms *= 2) {
		struct err *e = open_once(w);

		/* Somebody else writes under this reference. */
		if (!err_is(e, ERR_UNAVAILABLE) || monotonic_ms() + wait_ms > until) {
			TRY(err_wrap(e, "failed to open writer"));
			break;
		}
		err_free(e);
		grpc_stream_free(TAKE(w->stream));
		w->in_flight = 0;
		poll(NULL, 0, wait_ms);
	}
	*ret = TAKE(w);
	return NULL;
}

bool content_writer_exists(const struct content_writer *w)
{
	return w->exists;
}

static struct err *add_piece(struct content_writer *w, const void *data, size_t len)
{
	Content__WriteContentRequest request = CONTENT__WRITE_CONTENT_REQUEST__INIT;
	Content__WriteContentResponse reply;

	request.action = CONTENT__WRITE_ACTION__WRITE;
	request.offset = w->offset;
	request.data = (ProtobufCBinaryData){.data = (uint8_t *)data, .len = len};
	TRY(send(w, &request));
	w->offset += (int64_t)len;
	while (!w->exists && w->in_flight >= IN_FLIGHT_MAX)
		TRY(receive(w, &reply));
	return NULL;
}

struct err *content_writer_add(struct content_writer *w, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len > 0 && !w->exists) {
		size_t n = MIN(len, CONTENT_CHUNK);

		TRY(add_piece(w, p, n));
		p += n;
		len -= n;
	}
	return NULL;
}

/* The digest of everything that was added. */
static struct err *settle(struct content_writer *w)
{
	Content__WriteContentRequest request = CONTENT__WRITE_CONTENT_REQUEST__INIT;
	Content__WriteContentResponse reply = CONTENT__WRITE_CONTENT_RESPONSE__INIT;

	request.action = CONTENT__WRITE_ACTION__STAT;
	TRY(send(w, &request));
	while (!w->exists && w->in_flight > 0)
		TRY(receive(w, &reply));
	if (!w->exists && reply.offset != w->offset)
		return err_new(ERR_DATA_LOSS, "write %s: the daemon has %lld of %lld bytes", w->ref,
			(long long)reply.offset, (long long)w->offset);
	return NULL;
}

struct err *content_writer_commit(
	struct content_writer *w, struct ctd_labels labels, char ret[static DIGEST_MAX])
{
	autoptr(arena) arena = arena_new();
	Content__WriteContentRequest request = CONTENT__WRITE_CONTENT_REQUEST__INIT;
	Content__WriteContentResponse reply;

	if (!w->exists)
		TRY(settle(w));
	if (!w->exists) {
		if (w->expected && !str_eq(w->digest, w->expected))
			return err_new(ERR_PRECONDITION,
				"unexpected digest %s, expected %s: failed precondition", w->digest,
				w->expected);
		request.action = CONTENT__WRITE_ACTION__COMMIT;
		request.offset = w->offset;
		request.total = w->size;
		request.expected = w->digest;
		request.labels = LABELS_TO_WIRE(labels, Content__WriteContentRequest__LabelsEntry,
			content__write_content_request__labels_entry__init, arena,
			&request.n_labels);
		TRY(send(w, &request));
		if (!w->exists)
			TRY(receive(w, &reply));
	}
	w->committed = true;
	const char *digest = w->exists && w->expected ? w->expected : w->digest;
	memcpy(ret, digest, strlen(digest) + 1);
	return NULL;
}

void content_writer_free(struct content_writer *w)
{
	if (!w)
		return;
	grpc_stream_free(w->stream);
	if (w->stream && !w->committed && !w->exists) {
		Content__AbortRequest request = CONTENT__ABORT_REQUEST__INIT;

		request.ref = w->ref;
		err_free(call_void(&w->scope, SERVICE "Abort", &request));
	}
	free(w->ref);
	free(w->expected);
	free(w);
}

struct err *content_store(const struct scope *s, const char *ref, const void *data, size_t len,
	struct ctd_labels labels, char ret[static DIGEST_MAX])
{
	autoptr(content_writer) w = NULL;
	char digest[DIGEST_MAX];

	digest_of(data, len, digest);
	TRY(content_writer_open(s, ref, (int64_t)len, digest, &w));
	TRY(content_writer_add(w, data, len));
	TRY(content_writer_commit(w, labels, ret));
	/* Labels of a blob that was there already are not set by the commit. */
	if (content_writer_exists(w) && labels.n > 0)
		return content_label(s, ret, labels);
	return NULL;
}

struct err *ctd_content_ingest(struct ctd_client *client, const char *ref, int fd, int64_t size,
	const char *digest, struct ctd_labels labels)
{
	autoptr(content_writer) w = NULL;
	autofree char *chunk = xmalloc(CONTENT_CHUNK);
	char result[DIGEST_MAX];

	TRY(content_writer_open(SCOPE(client), ref, size, digest, &w));
	for (;;) {
		ssize_t n = read_full(fd, chunk, CONTENT_CHUNK);

		if (n < 0)
			return err_sys((int)-n, "read");
		if (n == 0)
			break;
		TRY(content_writer_add(w, chunk, (size_t)n));
	}
	if (size > 0 && !w->exists && w->offset != size)
		return err_new(ERR_PRECONDITION,
			"unexpected size %lld, expected %lld: failed precondition",
			(long long)w->offset, (long long)size);
	return content_writer_commit(w, labels, result);
}
