// SPDX-License-Identifier: Apache-2.0
/* A writer of tar archives: ustar headers, with a pax header in front where ustar does not do. */
#pragma once

#include "archive/tar-reader.h"

/* Takes all bytes or fails. */
typedef struct err *(*tar_sink_fn)(void *arg, const void *data, size_t len);

struct tar_writer;

struct tar_writer *tar_writer_new(tar_sink_fn sink, void *arg);
void tar_writer_free(struct tar_writer *w);
DEFINE_AUTOPTR(tar_writer, tar_writer_free);

/* The data of the entry before must be complete. Times are cut to seconds; is_sparse is not used. */
CHECKED struct err *tar_writer_entry(struct tar_writer *w, const struct tar_entry *entry);
/* Of a TAR_FILE: `size` bytes in all. */
CHECKED struct err *tar_writer_data(struct tar_writer *w, const void *data, size_t len);
/* The end of the archive. */
CHECKED struct err *tar_writer_finish(struct tar_writer *w);
