// SPDX-License-Identifier: Apache-2.0
/*
 * Compression of layers: gzip (also several members in a row), zstd (also several frames) and
 * plain. What comes in is told by its first bytes, never by what a manifest says. Damage of any
 * kind is ERR_INVALID: a stream that ends early, a wrong checksum or length, garbage behind the end.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum codec { CODEC_NONE, CODEC_GZIP, CODEC_ZSTD };

/* The largest zstd window that is accepted, as a power of two: what it costs in memory. */
#define CODEC_ZSTD_WINDOW_LOG 27

/* As read(2), but a failure is -errno. */
typedef ssize_t (*codec_read_fn)(void *arg, void *data, size_t len);

struct decoder;

CHECKED struct err *decoder_open(codec_read_fn read, void *arg, struct decoder **ret);
void decoder_free(struct decoder *d);
DEFINE_AUTOPTR(decoder, decoder_free);
enum codec decoder_codec(const struct decoder *d);
/* Fills the memory; less only at the end of the stream, then 0. */
CHECKED struct err *decoder_read(struct decoder *d, void *data, size_t cap, size_t *ret_len);
/* A codec_read_fn for a file descriptor, which stands in the int that `arg` points to. */
ssize_t codec_read_fd(void *arg, void *data, size_t len);

struct encoder;

/* Writes to the descriptor, which stays the caller's. The same input gives the same output. */
CHECKED struct err *encoder_new(enum codec codec, int fd, struct encoder **ret);
void encoder_free(struct encoder *e);
DEFINE_AUTOPTR(encoder, encoder_free);
CHECKED struct err *encoder_write(struct encoder *e, const void *data, size_t len);
CHECKED struct err *encoder_finish(struct encoder *e);
