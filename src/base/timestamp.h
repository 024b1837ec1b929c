// SPDX-License-Identifier: Apache-2.0
/* Points in time, RFC 3339 text, Go durations, and the monotonic clock for deadlines. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct timestamp {
	int64_t sec;  /* since 1970, UTC */
	int32_t nsec; /* 0..999,999,999 */
};

#define TIMESTAMP_TEXT 40

struct timestamp timestamp_now(void);
bool timestamp_is_zero(struct timestamp t);
int timestamp_compare(struct timestamp a, struct timestamp b);
/* Nanoseconds since 1970, saturating; the form in which the database keeps time. */
int64_t timestamp_to_ns(struct timestamp t);
struct timestamp timestamp_from_ns(int64_t ns);
/* Go's RFC3339Nano in UTC: fraction without trailing zeros. */
void timestamp_format(struct timestamp t, char ret[static TIMESTAMP_TEXT]);
CHECKED struct err *timestamp_parse(const char *text, struct timestamp *ret);

/* "1h15m30.918s", "500ms", "0"; nanoseconds. ERR_INVALID names the text. */
CHECKED struct err *duration_parse(const char *text, int64_t *ret_ns);
/* Go's Duration.String(). */
void duration_format(int64_t ns, char ret[static TIMESTAMP_TEXT]);

int64_t monotonic_ms(void);
int64_t monotonic_ns(void);
