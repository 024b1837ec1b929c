// SPDX-License-Identifier: Apache-2.0
#include "base/err.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"

struct err {
	enum err_class class;
	int errnum;
	char *message;
	void *details;
	size_t details_len;
};

static struct err *err_make(enum err_class class, int errnum, char *take_message)
{
	struct err *e = NEW(struct err);

	e->class = class;
	e->errnum = errnum;
	e->message = take_message;
	return e;
}

struct err *err_new(enum err_class class, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	return err_make(class, 0, text);
}

static enum err_class class_of_errno(int errnum)
{
	switch (errnum) {
	case ENOENT:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	case EACCES:
	case EPERM:
		return ERR_PERMISSION;
	case ENOSPC:
	case EDQUOT:
		return ERR_EXHAUSTED;
	case ETIMEDOUT:
		return ERR_DEADLINE;
	case ECANCELED:
		return ERR_CANCELLED;
	default:
		return ERR_UNKNOWN;
	}
}

struct err *err_sys(int errnum, const char *fmt, ...)
{
	va_list ap;
	autofree char *text = NULL;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	return err_make(class_of_errno(errnum), errnum,
		xasprintf("%s: %s", text, strerrordesc_np(errnum) ?: "unknown error"));
}

struct err *err_wrap(struct err *take_e, const char *fmt, ...)
{
	va_list ap;
	autofree char *context = NULL;
	autofree char *old = NULL;

	if (!take_e)
		return NULL;
	va_start(ap, fmt);
	context = xvasprintf(fmt, ap);
	va_end(ap);
	old = take_e->message;
	take_e->message = xasprintf("%s: %s", context, old);
	return take_e;
}

struct err *err_reclass(struct err *take_e, enum err_class class)
{
	if (take_e)
		take_e->class = class;
	return take_e;
}

struct err *err_copy(const struct err *e)
{
	struct err *copy;

	if (!e)
		return NULL;
	copy = err_make(e->class, e->errnum, xstrdup(e->message));
	err_set_details(copy, e->details, e->details_len);
	return copy;
}

void err_set_details(struct err *e, const void *bytes, size_t len)
{
	free(e->details);
	e->details = len ? xmemdup(bytes, len) : NULL;
	e->details_len = len;
}

enum err_class err_class(const struct err *e)
{
	return e ? e->class : ERR_OK;
}

bool err_is(const struct err *e, enum err_class class)
{
	return e && e->class == class;
}

int err_errno(const struct err *e)
{
	return e ? e->errnum : 0;
}

const char *err_message(const struct err *e)
{
	return e ? e->message : "";
}

const void *err_details(const struct err *e, size_t *ret_len)
{
	*ret_len = e ? e->details_len : 0;
	return e ? e->details : NULL;
}

const char *err_class_name(enum err_class class)
{
	static const char *const names[] = {"OK", "Canceled", "Unknown", "InvalidArgument",
		"DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied",
		"ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
		"Internal", "Unavailable", "DataLoss", "Unauthenticated"};

	return (size_t)class < ARRAY_LEN(names) ? names[class] : "Code";
}

void err_free(struct err *e)
{
	if (!e)
		return;
	free(e->message);
	free(e->details);
	free(e);
}
