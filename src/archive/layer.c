// SPDX-License-Identifier: Apache-2.0
#include "archive/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "archive/checksum.h"
#include "archive/ring.h"
#include "base/thread.h"

#define RING_SLOTS 8
#define RING_SLOT_BYTES ((size_t)256 * 1024)

/* Who reads which side of the ring. */
enum { READER_HASH, READER_WORK };

struct hashing {
	struct ring *ring;
	char digest[DIGEST_MAX];
	int64_t size;
	pthread_t thread;
};

static void *hash_run(void *arg)
{
	struct hashing *h = arg;
	autoptr(checksum) sum = checksum_new();
	const uint8_t *data;
	size_t len;

	for (;;) {
		autoptr(err) e = ring_read(h->ring, READER_HASH, &data, &len);

		/* The other reader gets the same error, and reports it. */
		if (e || len == 0)
			break;
		checksum_add(sum, data, len);
		h->size += (int64_t)len;
	}
	checksum_digest(sum, h->digest);
	return NULL;
}

struct inflating {
	struct ring *ring;
	struct decoder *decoder;
	int64_t max_bytes;
	pthread_t thread;
};

static struct err *inflate_all(struct inflating *i)
{
	int64_t total = 0;

	for (;;) {
		uint8_t *slot = ring_slot(i->ring);
		size_t n;

		if (!slot)
			return NULL;
		TRY(decoder_read(i->decoder, slot, RING_SLOT_BYTES, &n));
		if (n == 0)
			return NULL;
		total += (int64_t)n;
		if (total > i->max_bytes)
			return err_new(ERR_INVALID, "larger than %" PRId64 " bytes uncompressed",
				i->max_bytes);
		ring_publish(i->ring, n);
	}
}

static void *inflate_run(void *arg)
{
	struct inflating *i = arg;

	ring_finish(i->ring, inflate_all(i));
	return NULL;
}

static struct err *ring_source(void *arg, const uint8_t **ret, size_t *ret_len)
{
	return ring_read(arg, READER_WORK, ret, ret_len);
}

static struct err *unpack_ring(struct ring *ring, const struct apply_options *options)
{
	autoptr(tar_reader) reader = tar_reader_new(ring_source, ring);

	TRY(apply_archive(reader, options));
	return tar_reader_drain(reader);
}

struct err *layer_unpack(int blob_fd, const struct apply_options *options, struct layer_result *ret)
{
	autoptr(decoder) decoder = NULL;
	autoptr(ring) ring = ring_new(RING_SLOTS, RING_SLOT_BYTES, 2);
	struct inflating inflating = {.ring = ring, .max_bytes = options->max_bytes};
	struct hashing hashing = {.ring = ring};
	struct err *e;

	(void)posix_fadvise(blob_fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	TRY(decoder_open(codec_read_fd, &blob_fd, &decoder));
	inflating.decoder = decoder;
	TRY(thread_start("inflate", inflate_run, &inflating, &inflating.thread));
	e = thread_start("hash", hash_run, &hashing, &hashing.thread);
	if (!e) {
		e = unpack_ring(ring, options);
		if (e)
			ring_abort(ring);
		pthread_join(hashing.thread, NULL);
	} else {
		ring_abort(ring);
	}
	pthread_join(inflating.thread, NULL);
	if (e)
		return e;
	memcpy(ret->digest, hashing.digest, sizeof(ret->digest));
	ret->size = hashing.size;
	ret->codec = decoder_codec(decoder);
	return NULL;
}

struct packing {
	struct ring *ring;
	struct encoder *encoder;
	uint8_t *slot; /* the one that is filled, NULL: none */
	size_t used;
	struct err *error; /* of the encoder */
	pthread_t thread;
};

static struct err *encode_all(struct packing *p)
{
	const uint8_t *data;
	size_t len;

	for (;;) {
		TRY(ring_read(p->ring, READER_WORK, &data, &len));
		if (len == 0)
			return encoder_finish(p->encoder);
		TRY(encoder_write(p->encoder, data, len));
	}
}

static void *encode_run(void *arg)
{
	struct packing *p = arg;

	p->error = encode_all(p);
	if (p->error)
		ring_abort(p->ring);
	return NULL;
}

static void flush_slot(struct packing *p)
{
	if (p->slot && p->used)
		ring_publish(p->ring, p->used);
	p->slot = NULL;
	p->used = 0;
}

static struct err *ring_sink(void *arg, const void *data, size_t len)
{
	struct packing *p = arg;

	while (len > 0) {
		size_t n;

		if (!p->slot)
			p->slot = ring_slot(p->ring);
		if (!p->slot)
			return err_new(ERR_ABORTED, "nobody takes the layer");
		n = MIN(len, RING_SLOT_BYTES - p->used);
		memcpy(p->slot + p->used, data, n);
		p->used += n;
		data = (const uint8_t *)data + n;
		len -= n;
		if (p->used == RING_SLOT_BYTES)
			flush_slot(p);
	}
	return NULL;
}

static struct err *pack_ring(struct packing *p, const struct changes_options *options)
{
	autoptr(tar_writer) writer = tar_writer_new(ring_sink, p);

	TRY(changes_write(options, writer));
	flush_slot(p);
	return NULL;
}

struct err *layer_pack(const struct changes_options *options, enum codec codec, int out_fd,
	struct layer_result *ret)
{
	autoptr(encoder) encoder = NULL;
	autoptr(ring) ring = ring_new(RING_SLOTS, RING_SLOT_BYTES, 2);
	struct packing packing = {.ring = ring};
	struct hashing hashing = {.ring = ring};
	struct err *e;

	TRY(encoder_new(codec, out_fd, &encoder));
	packing.encoder = encoder;
	TRY(thread_start("encode", encode_run, &packing, &packing.thread));
	e = thread_start("hash", hash_run, &hashing, &hashing.thread);
	if (!e) {
		e = pack_ring(&packing, options);
		if (e)
			ring_abort(ring);
		else
			ring_finish(ring, NULL);
		pthread_join(hashing.thread, NULL);
	} else {
		ring_abort(ring);
	}
	pthread_join(packing.thread, NULL);
	if (packing.error) { /* the cause, where the walk has only seen that nobody takes its bytes */
		err_free(e);
		return packing.error;
	}
	if (e)
		return e;
	memcpy(ret->digest, hashing.digest, sizeof(ret->digest));
	ret->size = hashing.size;
	ret->codec = codec;
	return NULL;
}
