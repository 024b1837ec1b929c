// SPDX-License-Identifier: Apache-2.0
/* The namespace's content as image_blobs. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/codec.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "transfer/transfer-internal.h"

#define LOCKED_WAIT_MS 10000 /* for another writer of the same reference */
#define LOCKED_STEP_MS 20
#define CHUNK_BYTES ((size_t)256 * 1024)
#define LABEL_UNCOMPRESSED "containerd.io/uncompressed"

static struct content_blobs *to_content_blobs(struct image_blobs *b)
{
	return container_of(b, struct content_blobs, base);
}

static struct err *content_blobs_load(struct image_blobs *base, const char *digest, size_t max,
	struct arena *arena, char **ret, size_t *ret_len)
{
	struct content_blobs *b = to_content_blobs(base);
	autofd fd = -1;
	int64_t size;
	ssize_t n;

	TRY(content_read(b->content, b->scope, digest, &fd, &size));
	if (size < 0 || (uint64_t)size > max)
		return err_new(ERR_EXHAUSTED, "%s of %" PRId64 " bytes is larger than %zu", digest,
			size, max);
	*ret = arena_alloc(arena, (size_t)size + 1);
	n = read_full(fd, *ret, (size_t)size);
	if (n != size)
		return n < 0 ? err_sys((int)-n, "read %s", digest)
			     : err_new(ERR_DATA_LOSS, "%s is cut short on disk", digest);
	*ret_len = (size_t)size;
	return NULL;
}

static struct err *content_blobs_label(
	struct image_blobs *base, const char *digest, const struct strmap *labels)
{
	struct content_blobs *b = to_content_blobs(base);
	autoval(blob_info) updated = {0};
	autoval(strv) paths = STRV_INIT;

	for (size_t i = 0; i < labels->n; i++)
		strv_addf(&paths, "labels.%s", labels->entries[i].key);
	return content_update(b->content, b->scope, digest, labels, paths.items, paths.n, &updated);
}

static struct err *content_blobs_find_compressed(struct image_blobs *base, const char *digest,
	char ret[static DIGEST_MAX], int64_t *ret_size)
{
	struct content_blobs *b = to_content_blobs(base);
	autofree char *filter = xasprintf("labels.\"" LABEL_UNCOMPRESSED "\"==%s", digest);
	autoval(blob_list) found = {0};

	TRY(content_list(b->content, b->scope, &filter, 1, &found));
	for (size_t i = 0; i < found.n && !*ret; i++) {
		const struct blob_info *info = &found.items[i];

		if (str_eq(info->digest, digest) || strlen(info->digest) >= DIGEST_MAX)
			continue;
		memcpy(ret, info->digest, strlen(info->digest) + 1);
		*ret_size = info->size;
	}
	return NULL;
}

/* --- writing --- */

struct image_writer {
	struct content_blobs *blobs;
	struct content_ingest *ingest; /* NULL: the blob is there already */
	char *ref, *expected;	       /* expected may be NULL */
	int64_t size, offset;
};

static void content_blobs_end(struct image_writer *w)
{
	if (!w)
		return;
	if (w->ingest) {
		content_ingest_close(w->ingest);
		err_free(content_ingest_abort(w->blobs->content, w->blobs->scope, w->ref));
	}
	free(w->ref);
	free(w->expected);
	free(w);
}
DEFINE_AUTOPTR(image_writer, content_blobs_end);

static struct err *pause_for(struct cancel *cancel, int ms)
{
	struct pollfd p = {cancel_fd(cancel), POLLIN, 0};

	(void)poll(&p, 1, ms);
	return cancel_check(cancel);
}

/* Somebody may be importing the same archive. */
static struct err *open_ingest(struct image_writer *w)
{
	struct content_blobs *b = w->blobs;
	int64_t deadline = monotonic_ms() + LOCKED_WAIT_MS;
	struct err *e;

	for (;;) {
		e = content_ingest_open(
			b->content, b->scope, w->ref, w->size, w->expected, &w->ingest);
		if (!err_is(e, ERR_UNAVAILABLE) || monotonic_ms() >= deadline)
			break;
		err_free(e);
		TRY(pause_for(b->cancel, LOCKED_STEP_MS));
	}
	if (!err_is(e, ERR_EXISTS))
		return e;
	err_free(e);
	return NULL;
}

static struct err *content_blobs_begin(struct image_blobs *base, const char *ref, int64_t size,
	const char *digest, struct image_writer **ret)
{
	autoptr(image_writer) w = NEW(struct image_writer);

	w->blobs = to_content_blobs(base);
	w->ref = xstrdup(ref);
	w->expected = xstrdup(digest);
	w->size = size;
	TRY(open_ingest(w));
	/* One that was begun before starts over. */
	if (w->ingest)
		TRY(content_ingest_write(w->ingest, 0, "", 0));
	*ret = TAKE(w);
	return NULL;
}

static struct err *content_blobs_add(struct image_writer *w, const void *data, size_t len)
{
	TRY(cancel_check(w->blobs->cancel));
	if (w->ingest)
		TRY(content_ingest_write(w->ingest, w->offset, data, len));
	w->offset += (int64_t)len;
	return NULL;
}

static struct err *commit(
	struct image_writer *w, const struct strmap *labels, char ret[static DIGEST_MAX])
{
	struct err *e;

	if (!w->ingest) {
		memcpy(ret, w->expected, strlen(w->expected) + 1);
		return NULL;
	}
	content_ingest_digest(w->ingest, ret);
	e = content_ingest_commit(TAKE(w->ingest), w->offset, w->expected, labels);
	if (err_is(e, ERR_EXISTS)) {
		err_free(e);
		return NULL;
	}
	if (e)
		err_free(content_ingest_abort(w->blobs->content, w->blobs->scope, w->ref));
	return e;
}

static struct err *content_blobs_commit(struct image_writer *w, char ret[static DIGEST_MAX])
{
	static const struct strmap none = STRMAP_INIT;

	return commit(w, &none, ret);
}

/* --- compressing --- */

struct packing {
	int from, to;
	struct err *error;
};

static struct err *compress_all(const struct packing *c)
{
	autoptr(encoder) encoder = NULL;
	autofree uint8_t *data = xmalloc(CHUNK_BYTES);

	TRY(encoder_new(CODEC_GZIP, c->to, &encoder));
	for (;;) {
		ssize_t n = read_full(c->from, data, CHUNK_BYTES);

		if (n < 0)
			return err_sys((int)-n, "read the layer");
		if (n == 0)
			return encoder_finish(encoder);
		TRY(encoder_write(encoder, data, (size_t)n));
	}
}

static void *compress_thread(void *arg)
{
	struct packing *c = arg;

	c->error = compress_all(c);
	close(c->to);
	return NULL;
}

static struct err *take_all(struct image_writer *w, int fd)
{
	autofree uint8_t *data = xmalloc(CHUNK_BYTES);

	for (;;) {
		ssize_t n = read_full(fd, data, CHUNK_BYTES);

		if (n < 0)
			return err_sys((int)-n, "read the compressed layer");
		if (n == 0)
			return NULL;
		TRY(content_blobs_add(w, data, (size_t)n));
	}
}

static struct err *compress_into(struct image_writer *w, int from)
{
	struct packing c = {.from = from};
	autofd out = -1;
	pthread_t thread;
	int pipe[2];
	struct err *e;

	if (pipe2(pipe, O_CLOEXEC) < 0)
		return err_sys(errno, "create a pipe");
	out = pipe[0];
	c.to = pipe[1];
	e = thread_start("compress", compress_thread, &c, &thread);
	if (e) {
		close(c.to);
		return e;
	}
	e = take_all(w, out);
	/* Without a reader the other side ends. */
	close(TAKE_FD(out));
	pthread_join(thread, NULL);
	if (!e)
		return c.error;
	err_free(c.error);
	return e;
}

static struct err *content_blobs_compress(struct image_blobs *base, const char *digest,
	char ret[static DIGEST_MAX], int64_t *ret_size)
{
	struct content_blobs *b = to_content_blobs(base);
	autofree char *ref = xasprintf("compress-blob-%s", digest);
	autoptr(image_writer) w = NULL;
	autoval(strmap) labels = STRMAP_INIT;
	autofd fd = -1;
	int64_t size;

	TRY(content_read(b->content, b->scope, digest, &fd, &size));
	TRY(content_blobs_begin(base, ref, 0, NULL, &w));
	TRY(compress_into(w, fd));
	strmap_set(&labels, LABEL_UNCOMPRESSED, digest);
	TRY(commit(w, &labels, ret));
	*ret_size = w->offset;
	return NULL;
}

const struct image_blobs_ops content_blobs_ops = {
	.load = content_blobs_load,
	.label = content_blobs_label,
	.find_compressed = content_blobs_find_compressed,
	.begin = content_blobs_begin,
	.add = content_blobs_add,
	.commit = content_blobs_commit,
	.end = content_blobs_end,
	.compress = content_blobs_compress,
};
