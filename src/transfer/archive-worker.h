// SPDX-License-Identifier: Apache-2.0
/* An archive that comes in a stream, read by the confined worker. */
#pragma once

#include "archive/entries.h"
#include "base/thread.h"
#include "transfer/streams.h"

/* Hands every entry to the visitor. After success the stream has been read to its end; after a
 * failure nobody reads it any more. */
CHECKED struct err *archive_worker_run(const char *worker, struct stream *from,
	struct cancel *cancel, const struct entry_visitor *v, void *arg);
