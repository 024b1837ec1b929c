// SPDX-License-Identifier: Apache-2.0
#include "ctr/ctr.h"

#include <stdlib.h>

#include "base/alloc.h"

#define NS_PER_MS 1000000

const struct flag snapshotter_flags[] = {
	{"snapshotter", "snapshotter to use, by default the namespace's", FLAG_STRING,
		.env = "CONTAINERD_SNAPSHOTTER"},
	FLAGS_END,
};

struct err *from_ctd(struct ctd_error *take_e)
{
	if (!take_e)
		return NULL;
	struct err *e =
		err_new((enum err_class)ctd_error_code(take_e), "%s", ctd_error_message(take_e));
	ctd_error_free(take_e);
	return e;
}

/* Part of a millisecond is one: it was asked for. */
static int64_t to_ms(int64_t ns)
{
	return (ns + NS_PER_MS - 1) / NS_PER_MS;
}

struct err *connect_client(struct invocation *in, struct ctd_client **ret)
{
	struct ctd_client_options options = CTD_CLIENT_INIT;

	options.address = flag_string(in, "address");
	options.namespace_name = flag_string(in, "namespace");
	options.connect_timeout_ms = to_ms(flag_duration(in, "connect-timeout"));
	options.timeout_ms = to_ms(flag_duration(in, "timeout"));
	return from_ctd(ctd_connect(&options, ret));
}

const char *const *names_from(const struct invocation *in, size_t i)
{
	return (const char *const *)args_from(in, i);
}

const char *or_null(const char *s)
{
	return *s ? s : NULL;
}

struct err *first_error(struct err *take_first, struct err *take_next, const char *what)
{
	if (!take_next)
		return take_first;
	log_error(what, "error", err_message(take_next));
	if (!take_first)
		return take_next;
	err_free(take_next);
	return take_first;
}
