// SPDX-License-Identifier: Apache-2.0
/*
 * One channel for errors: functions return `struct err *`, NULL is success. The class is a gRPC
 * status code, chosen where the failure is understood; errno is a detail. Messages are lower case,
 * name the object and end without a full stop. Whoever handles an error frees it; a function
 * returns an error or logs it, never both.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

/* The numbers are gRPC's (https://grpc.github.io/grpc/core/md_doc_statuscodes.html). */
enum err_class {
	ERR_OK = 0,
	ERR_CANCELLED = 1,
	ERR_UNKNOWN = 2,
	ERR_INVALID = 3,
	ERR_DEADLINE = 4,
	ERR_NOT_FOUND = 5,
	ERR_EXISTS = 6,
	ERR_PERMISSION = 7,
	ERR_EXHAUSTED = 8,
	ERR_PRECONDITION = 9,
	ERR_ABORTED = 10,
	ERR_RANGE = 11,
	ERR_UNIMPLEMENTED = 12,
	ERR_INTERNAL = 13,
	ERR_UNAVAILABLE = 14,
	ERR_DATA_LOSS = 15,
	ERR_UNAUTHENTICATED = 16,
};

struct err;

CHECKED struct err *err_new(enum err_class class, const char *fmt, ...) PRINTF(2, 3);
/* For a failed system call: the message ends in strerror(errnum), the class follows errnum
 * (ENOENT NOT_FOUND, EEXIST EXISTS, EACCES/EPERM PERMISSION, ENOSPC/EDQUOT EXHAUSTED,
 * ETIMEDOUT DEADLINE, ECANCELED CANCELLED, the rest UNKNOWN). */
CHECKED struct err *err_sys(int errnum, const char *fmt, ...) PRINTF(2, 3);
/* Prepend "context: ". Takes the error and returns it; NULL passes through. */
CHECKED struct err *err_wrap(struct err *take_e, const char *fmt, ...) PRINTF(2, 3);
/* Replace the class where a caller knows better. NULL passes through. */
CHECKED struct err *err_reclass(struct err *take_e, enum err_class class);
CHECKED struct err *err_copy(const struct err *e);
/* Serialized google.rpc.Status for grpc-status-details-bin; copied. */
void err_set_details(struct err *e, const void *bytes, size_t len);

enum err_class err_class(const struct err *e); /* ERR_OK for NULL */
bool err_is(const struct err *e, enum err_class class);
int err_errno(const struct err *e);	      /* 0 when no system call failed */
const char *err_message(const struct err *e); /* "" for NULL */
const void *err_details(const struct err *e, size_t *ret_len);
/* The code's name in grpc-go's spelling, such as "NotFound". */
const char *err_class_name(enum err_class class);

/* NULL-safe. */
void err_free(struct err *e);
DEFINE_AUTOPTR(err, err_free);

/* Leave the function with the error when the expression yields one. */
#define TRY(expr)                                                                                  \
	do {                                                                                       \
		struct err *try_err_ = (expr);                                                     \
		if (try_err_)                                                                      \
			return try_err_;                                                           \
	} while (0)
