// SPDX-License-Identifier: Apache-2.0
/* Numbers as they stand in tar headers. False when the text is not one or does not fit. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/timestamp.h"

/* Octal between spaces and NULs (empty is 0), or base-256 with the high bit set. */
bool tar_number(const char *field, size_t len, int64_t *ret);
/* A decimal number, the whole text. */
bool tar_decimal(const char *text, size_t len, int64_t *ret);
/* "-1.5": seconds with any number of digits behind the point; what is below a nanosecond is cut. */
bool tar_time(const char *text, size_t len, struct timestamp *ret);
/* Whether the checksum is right, of unsigned or (old archives) signed bytes. */
bool tar_checksum_ok(const uint8_t block[static 512]);
