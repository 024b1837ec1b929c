// SPDX-License-Identifier: Apache-2.0
/* What the command groups share: the connection, and the tables of commands. */
#pragma once

#include <containerd/client.h>

#include "base/log.h"
#include "ctr/cli.h"
#include "ctr/format.h"
#include "ctr/table.h"

extern const struct command plugins_command, version_command, containers_command, content_command,
	events_command, images_command, info_command, leases_command, namespaces_command,
	oci_command, run_command, sandboxes_command, snapshots_command, tasks_command;

/* "--snapshotter", for the commands that take it. */
extern const struct flag snapshotter_flags[];

/* The library's error as ours; takes it. */
CHECKED struct err *from_ctd(struct ctd_error *take_e);
/* Leave the function when a call of the library fails. */
#define CALL(expr) TRY(from_ctd(expr))

static inline void ctd_client_close_p(struct ctd_client **c)
{
	ctd_close(*c);
}
/* Closed at the end of the scope. */
#define auto_client __attribute__((cleanup(ctd_client_close_p))) struct ctd_client

static inline void ctd_record_free_p(void *p)
{
	ctd_free(*(void **)p);
}
/* A record of the library, freed at the end of the scope. */
#define auto_record __attribute__((cleanup(ctd_record_free_p)))

/* By the global flags. */
CHECKED struct err *connect_client(struct invocation *in, struct ctd_client **ret);
/* The arguments from the i-th on, as filters and names go to the library. */
const char *const *names_from(const struct invocation *in, size_t i);
/* NULL for an empty text. */
const char *or_null(const char *s);
/* The first error of several counts; the others are only logged. Takes both. */
CHECKED struct err *first_error(struct err *take_first, struct err *take_next, const char *what);
