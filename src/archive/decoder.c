// SPDX-License-Identifier: Apache-2.0
#include "archive/codec.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#ifdef HAVE_ISAL
#include <isa-l/igzip_lib.h>
#else
#include <zlib.h>
#endif

#include "base/alloc.h"

#define INPUT_BYTES ((size_t)256 * 1024)
#define MAGIC_BYTES 8

/* What one compression format does. `step` moves at least one byte in or out and says how many came
 * out; it is called while there is room, and not again once it has set `ended`. */
struct decoder_ops {
	enum codec codec;
	struct err *(*open)(struct decoder *d);
	struct err *(*step)(struct decoder *d, uint8_t *out, size_t cap, size_t *ret_len);
	void (*close)(struct decoder *d);
};

struct decoder {
	const struct decoder_ops *ops;
	codec_read_fn read;
	void *arg;
	uint8_t *in;	 /* INPUT_BYTES */
	size_t pos, len; /* of the input that is not used yet */
	bool eof;	 /* of the input */
	bool ended;	 /* all was decoded */
	bool inside;	 /* a gzip member or a zstd frame has begun and not ended */
	uint64_t parts;	 /* members or frames begun so far */
#ifdef HAVE_ISAL
	struct inflate_state *inflate;
#else
	z_stream *inflate;
#endif
	ZSTD_DStream *zstd;
};

ssize_t codec_read_fd(void *arg, void *data, size_t len)
{
	ssize_t n;

	do {
		n = read(*(int *)arg, data, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static size_t pending(const struct decoder *d)
{
	return d->len - d->pos;
}

/* At least `want` bytes of input, unless it ends before. */
static struct err *fill(struct decoder *d, size_t want)
{
	if (pending(d) >= want || d->eof)
		return NULL;
	memmove(d->in, d->in + d->pos, pending(d));
	d->len -= d->pos;
	d->pos = 0;
	while (d->len < want && !d->eof) {
		ssize_t n = d->read(d->arg, d->in + d->len, INPUT_BYTES - d->len);

		if (n < 0)
			return err_sys((int)-n, "read the blob");
		d->eof = n == 0;
		d->len += (size_t)n;
	}
	return NULL;
}

static struct err *plain_step(struct decoder *d, uint8_t *out, size_t cap, size_t *ret_len)
{
	size_t n;

	*ret_len = 0;
	TRY(fill(d, 1));
	n = MIN(pending(d), cap);
	memcpy(out, d->in + d->pos, n);
	d->pos += n;
	d->ended = n == 0;
	*ret_len = n;
	return NULL;
}

static const struct decoder_ops plain_ops = {.codec = CODEC_NONE, .step = plain_step};

/* Between gzip members: the begin of the next, or the end. Zeros are padding, as for gzip(1). */
static struct err *gzip_next_member(struct decoder *d)
{
	TRY(fill(d, 1));
	while (d->parts > 0 && pending(d) > 0 && d->in[d->pos] == 0) {
		d->pos++;
		TRY(fill(d, 1));
	}
	if (pending(d) == 0) {
		d->ended = true;
		return NULL;
	}
	TRY(fill(d, 3));
	if (pending(d) < 3 || memcmp(d->in + d->pos, "\x1f\x8b\x08", 3) != 0)
		return err_new(ERR_INVALID, "gzip: garbage behind the end of the stream");
	d->inside = true;
	d->parts++;
	return NULL;
}

static struct err *gzip_truncated(void)
{
	return err_new(ERR_INVALID, "gzip: the stream ends early");
}

#ifdef HAVE_ISAL

static struct err *gzip_open(struct decoder *d)
{
	d->inflate = xcalloc(1, sizeof(*d->inflate));
	isal_inflate_init(d->inflate);
	return NULL;
}

static void gzip_close(struct decoder *d)
{
	free(d->inflate);
}

static const char *gzip_error(int r)
{
	switch (r) {
	case ISAL_INCORRECT_CHECKSUM:
		return "wrong checksum";
	case ISAL_INVALID_WRAPPER:
	case ISAL_UNSUPPORTED_METHOD:
		return "invalid header";
	default:
		return "invalid data";
	}
}

static struct err *gzip_step(struct decoder *d, uint8_t *out, size_t cap, size_t *ret_len)
{
	struct inflate_state *s = d->inflate;
	int r;

	*ret_len = 0;
	if (!d->inside) {
		TRY(gzip_next_member(d));
		if (d->ended)
			return NULL;
		isal_inflate_reset(s);
		s->crc_flag = ISAL_GZIP;
	}
	TRY(fill(d, 1));
	s->next_in = d->in + d->pos;
	s->avail_in = (uint32_t)pending(d);
	s->next_out = out;
	s->avail_out = (uint32_t)cap;
	r = isal_inflate(s);
	if (r < 0)
		return err_new(ERR_INVALID, "gzip: %s", gzip_error(r));
	*ret_len = cap - s->avail_out;
	d->inside = s->block_state != ISAL_BLOCK_FINISH;
	if (d->inside && d->eof && s->avail_in == 0 && *ret_len == 0)
		return gzip_truncated();
	d->pos = d->len - s->avail_in;
	return NULL;
}

#else

static struct err *gzip_open(struct decoder *d)
{
	d->inflate = NEW(z_stream);
	if (inflateInit2(d->inflate, 15 + 16) != Z_OK)
		return err_new(ERR_INTERNAL, "gzip: the decoder does not start");
	return NULL;
}

static void gzip_close(struct decoder *d)
{
	inflateEnd(d->inflate);
	free(d->inflate);
}

static struct err *gzip_step(struct decoder *d, uint8_t *out, size_t cap, size_t *ret_len)
{
	z_stream *s = d->inflate;
	int r;

	*ret_len = 0;
	if (!d->inside) {
		TRY(gzip_next_member(d));
		if (d->ended)
			return NULL;
		inflateReset(s);
	}
	TRY(fill(d, 1));
	s->next_in = d->in + d->pos;
	s->avail_in = (uInt)pending(d);
	s->next_out = out;
	s->avail_out = (uInt)cap;
	r = inflate(s, Z_NO_FLUSH);
	if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
		return err_new(ERR_INVALID, "gzip: %s", s->msg ? s->msg : "invalid data");
	*ret_len = cap - s->avail_out;
	d->inside = r != Z_STREAM_END;
	if (d->inside && d->eof && s->avail_in == 0 && *ret_len == 0)
		return gzip_truncated();
	d->pos = d->len - s->avail_in;
	return NULL;
}

#endif

static const struct decoder_ops gzip_ops = {
	.codec = CODEC_GZIP,
	.open = gzip_open,
	.step = gzip_step,
	.close = gzip_close,
};

static struct err *zstd_open(struct decoder *d)
{
	d->zstd = ZSTD_createDStream();
	if (!d->zstd)
		return err_new(ERR_INTERNAL, "zstd: the decoder does not start");
	ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, CODEC_ZSTD_WINDOW_LOG);
	return NULL;
}

static struct err *zstd_step(struct decoder *d, uint8_t *out, size_t cap, size_t *ret_len)
{
	ZSTD_outBuffer o = {.dst = out, .size = cap};
	ZSTD_inBuffer i;
	size_t r;

	*ret_len = 0;
	TRY(fill(d, 1));
	if (pending(d) == 0 && !d->inside) {
		d->ended = true;
		return NULL;
	}
	i = (ZSTD_inBuffer){.src = d->in + d->pos, .size = pending(d)};
	r = ZSTD_decompressStream(d->zstd, &o, &i);
	if (ZSTD_isError(r))
		return err_new(ERR_INVALID, "zstd: %s", ZSTD_getErrorName(r));
	d->pos += i.pos;
	*ret_len = o.pos;
	d->inside = r != 0;
	if (d->inside && d->eof && pending(d) == 0 && o.pos == 0)
		return err_new(ERR_INVALID, "zstd: the stream ends early");
	return NULL;
}

static void zstd_close(struct decoder *d)
{
	ZSTD_freeDStream(d->zstd);
}

static const struct decoder_ops zstd_ops = {
	.codec = CODEC_ZSTD,
	.open = zstd_open,
	.step = zstd_step,
	.close = zstd_close,
};

static const struct decoder_ops *detect(const uint8_t *p, size_t len)
{
	if (len >= 3 && memcmp(p, "\x1f\x8b\x08", 3) == 0)
		return &gzip_ops;
	if (len >= 4 && memcmp(p, "\x28\xb5\x2f\xfd", 4) == 0)
		return &zstd_ops;
	/* A zstd stream may begin with a skippable frame: 0x184D2A50 to 5F, then its length. */
	if (len >= 8 && (p[0] & 0xf0) == 0x50 && memcmp(p + 1, "\x2a\x4d\x18", 3) == 0)
		return &zstd_ops;
	return &plain_ops;
}

struct err *decoder_open(codec_read_fn read, void *arg, struct decoder **ret)
{
	autoptr(decoder) d = NEW(struct decoder);

	d->ops = &plain_ops;
	d->read = read;
	d->arg = arg;
	d->in = xmalloc(INPUT_BYTES);
	TRY(fill(d, MAGIC_BYTES));
	d->ops = detect(d->in + d->pos, pending(d));
	if (d->ops->open)
		TRY(d->ops->open(d));
	*ret = TAKE(d);
	return NULL;
}

void decoder_free(struct decoder *d)
{
	if (!d)
		return;
	if (d->ops->close)
		d->ops->close(d);
	free(d->in);
	free(d);
}

enum codec decoder_codec(const struct decoder *d)
{
	return d->ops->codec;
}

struct err *decoder_read(struct decoder *d, void *data, size_t cap, size_t *ret_len)
{
	size_t total = 0;

	while (total < cap && !d->ended) {
		size_t n;

		TRY(d->ops->step(d, (uint8_t *)data + total, cap - total, &n));
		total += n;
	}
	*ret_len = total;
	return NULL;
}
