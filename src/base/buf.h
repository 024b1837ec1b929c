// SPDX-License-Identifier: Apache-2.0
/* A growable byte buffer that is born with a maximum. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"

struct buf {
	uint8_t *data; /* always followed by a NUL that is not counted */
	size_t len, cap, max;
};

#define BUF_INIT(max_len) ((struct buf){.max = (max_len)})

void buf_done(struct buf *b);
DEFINE_AUTOVAL(buf, buf_done);
void buf_reset(struct buf *b); /* empties, keeps the memory */

/* False when the maximum would be passed; the buffer is then unchanged. */
CHECKED bool buf_append(struct buf *b, const void *data, size_t len);
CHECKED bool buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
/* Room for len more bytes at data + len, which the caller fills and adds to len. */
CHECKED bool buf_reserve(struct buf *b, size_t len);
/* Drop len bytes from the front. */
void buf_consume(struct buf *b, size_t len);
/* The text so far, NUL-terminated, owned by the buffer; "" when nothing was written. */
const char *buf_str(const struct buf *b);
/* The bytes, owned by the caller, never NULL; the buffer is empty afterwards. */
char *buf_take(struct buf *b, size_t *ret_len);
