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
#include "base/fs.h"

#define OUTPUT_BYTES ((size_t)256 * 1024)
#define ZSTD_LEVEL 3

struct encoder {
	enum codec codec;
	int fd;
	uint8_t *out; /* OUTPUT_BYTES */
#ifdef HAVE_ISAL
	struct isal_zstream *deflate;
	uint8_t *level_memory;
#else
	z_stream *deflate;
#endif
	ZSTD_CStream *zstd;
};

static struct err *emit(struct encoder *e, const void *data, size_t len)
{
	int r = write_full(e->fd, data, len);

	return r < 0 ? err_sys(-r, "write the layer") : NULL;
}

#ifdef HAVE_ISAL

static struct err *gzip_open(struct encoder *e)
{
	e->deflate = NEW(struct isal_zstream);
	isal_deflate_init(e->deflate);
	e->level_memory = xmalloc(ISAL_DEF_LVL3_DEFAULT);
	e->deflate->level = 3;
	e->deflate->level_buf = e->level_memory;
	e->deflate->level_buf_size = ISAL_DEF_LVL3_DEFAULT;
	e->deflate->gzip_flag = IGZIP_GZIP;
	return NULL;
}

static void gzip_close(struct encoder *e)
{
	free(e->level_memory);
	free(e->deflate);
}

static struct err *gzip_add(struct encoder *e, const void *data, size_t len, bool last)
{
	struct isal_zstream *s = e->deflate;

	s->next_in = (uint8_t *)data;
	s->avail_in = (uint32_t)len;
	s->end_of_stream = last;
	do {
		s->next_out = e->out;
		s->avail_out = OUTPUT_BYTES;
		if (isal_deflate(s) != COMP_OK)
			return err_new(ERR_INTERNAL, "gzip: the encoder refuses its input");
		TRY(emit(e, e->out, OUTPUT_BYTES - s->avail_out));
	} while (s->avail_out == 0 || s->avail_in > 0 ||
		 (last && s->internal_state.state != ZSTATE_END));
	return NULL;
}

#else

static struct err *gzip_open(struct encoder *e)
{
	e->deflate = NEW(z_stream);
	if (deflateInit2(e->deflate, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8,
		    Z_DEFAULT_STRATEGY) != Z_OK)
		return err_new(ERR_INTERNAL, "gzip: the encoder does not start");
	return NULL;
}

static void gzip_close(struct encoder *e)
{
	deflateEnd(e->deflate);
	free(e->deflate);
}

static struct err *gzip_add(struct encoder *e, const void *data, size_t len, bool last)
{
	z_stream *s = e->deflate;

	s->next_in = (Bytef *)data;
	s->avail_in = (uInt)len;
	do {
		s->next_out = e->out;
		s->avail_out = OUTPUT_BYTES;
		if (deflate(s, last ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_ERROR)
			return err_new(ERR_INTERNAL, "gzip: the encoder refuses its input");
		TRY(emit(e, e->out, OUTPUT_BYTES - s->avail_out));
	} while (s->avail_out == 0);
	return NULL;
}

#endif

static struct err *zstd_add(struct encoder *e, const void *data, size_t len, bool last)
{
	ZSTD_inBuffer in = {.src = data, .size = len};
	size_t left;

	do {
		ZSTD_outBuffer out = {.dst = e->out, .size = OUTPUT_BYTES};

		left = ZSTD_compressStream2(
			e->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
		if (ZSTD_isError(left))
			return err_new(ERR_INTERNAL, "zstd: %s", ZSTD_getErrorName(left));
		TRY(emit(e, e->out, out.pos));
	} while (in.pos < in.size || (last && left > 0));
	return NULL;
}

static struct err *zstd_open(struct encoder *e)
{
	e->zstd = ZSTD_createCStream();
	if (!e->zstd)
		return err_new(ERR_INTERNAL, "zstd: the encoder does not start");
	ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
	ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_checksumFlag, 1);
	return NULL;
}

struct err *encoder_new(enum codec codec, int fd, struct encoder **ret)
{
	autoptr(encoder) e = NEW(struct encoder);

	e->codec = codec;
	e->fd = fd;
	e->out = xmalloc(OUTPUT_BYTES);
	if (codec == CODEC_GZIP)
		TRY(gzip_open(e));
	if (codec == CODEC_ZSTD)
		TRY(zstd_open(e));
	*ret = TAKE(e);
	return NULL;
}

void encoder_free(struct encoder *e)
{
	if (!e)
		return;
	if (e->deflate)
		gzip_close(e);
	ZSTD_freeCStream(e->zstd);
	free(e->out);
	free(e);
}

static struct err *add(struct encoder *e, const void *data, size_t len, bool last)
{
	switch (e->codec) {
	case CODEC_GZIP:
		return gzip_add(e, data, len, last);
	case CODEC_ZSTD:
		return zstd_add(e, data, len, last);
	default:
		return emit(e, data, len);
	}
}

struct err *encoder_write(struct encoder *e, const void *data, size_t len)
{
	return len ? add(e, data, len, false) : NULL;
}

struct err *encoder_finish(struct encoder *e)
{
	return add(e, "", 0, true);
}
