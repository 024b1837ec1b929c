// SPDX-License-Identifier: Apache-2.0
/*
 * What an image archive holds, one entry after the other: files with their data, and links. Other
 * kinds of entries are passed over. The reader that parses (entries_read) can be in another process
 * than the one that uses the entries: it writes them as frames, which entries_receive() takes in
 * without looking at a single byte of tar. Either way entries are bounded, and a file's data has the
 * length announced.
 *
 * A frame is one byte of kind, four of length (little endian), and as much payload.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "archive/codec.h"

#define ENTRIES_MAX 65536

/* Who takes the entries; an error of any of them ends the reading with it. */
struct entry_visitor {
	struct err *(*file)(void *arg, const char *name, int64_t size);
	struct err *(*data)(void *arg, const void *data, size_t len);
	struct err *(*file_end)(void *arg); /* all of its data was there */
	struct err *(*link)(void *arg, const char *name, const char *target, bool is_symlink);
};

/* Inflate and parse an archive up to its end. */
CHECKED struct err *entries_read(
	codec_read_fn read, void *read_arg, const struct entry_visitor *v, void *arg);

/* The same, handed on as frames to a descriptor: the last frame says how it ended, and that is also
 * what is returned. */
CHECKED struct err *entries_send(codec_read_fn read, void *read_arg, int fd);
/* Only the last frame: an error from before the archive was looked at. 0 or -errno. */
int entries_send_error(int fd, const struct err *e);
/* The other end. A stream of frames that breaks off is ERR_INTERNAL. */
CHECKED struct err *entries_receive(
	codec_read_fn read, void *read_arg, const struct entry_visitor *v, void *arg);
