// SPDX-License-Identifier: Apache-2.0
/* Texts in gRPC's headers: grpc-message, grpc-timeout, binary values, statuses. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Encoded text, for trailers that a client with small header limits still takes. */
#define GRPC_MESSAGE_TEXT_MAX ((size_t)6 * 1024)
#define GRPC_DETAILS_MAX ((size_t)4 * 1024)

/* Owned by the caller; cut at GRPC_MESSAGE_TEXT_MAX. */
char *grpc_percent_encode(const char *s);
char *grpc_percent_decode(const char *s, size_t len);
/* Unpadded, as grpc-go writes it. */
char *grpc_base64_encode(const void *data, size_t len);
/* Padded or not; NULL when malformed. */
void *grpc_base64_decode(const char *s, size_t len, size_t *ret_len);
/* At most 8 digits and a unit; false when malformed. Rounded up to milliseconds. */
bool grpc_timeout_parse(const char *s, size_t len, int64_t *ret_ms);
#define GRPC_TIMEOUT_TEXT 24
void grpc_timeout_format(int64_t ms, char ret[static GRPC_TIMEOUT_TEXT]);
/* 0..16; anything else is UNKNOWN. */
enum err_class grpc_status_parse(const char *s, size_t len);
