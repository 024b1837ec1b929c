// SPDX-License-Identifier: Apache-2.0
/* Archives for tests, block by block and independent of the writer under test. */
#pragma once

#include "base/buf.h"

struct tar_spec {
	char type; /* 0: '0' */
	const char *name, *link;
	unsigned mode; /* 0: 0644, or 0755 for a directory */
	unsigned uid, gid;
	long long mtime;
	const char *data;
	const char *size; /* text of the field, instead of what `data` needs */
	unsigned dev_major, dev_minor;
	const char *pax;   /* records "key=value" separated by '\n', in a header of their own */
	const char *magic; /* NULL: ustar */
	bool bad_checksum;
};

#define TAR_BUILD_INIT BUF_INIT((size_t)256 * 1024 * 1024)

void tar_build_entry(struct buf *b, const struct tar_spec *spec);
/* A pax header with one record whose value has a length. */
void tar_build_pax(struct buf *b, const char *key, const void *value, size_t len);
/* Bytes, padded to a block with zeros. */
void tar_build_bytes(struct buf *b, const void *data, size_t len);
/* A header as it stands, with its checksum filled in. */
void tar_build_block(struct buf *b, uint8_t block[static 512]);
void tar_build_end(struct buf *b);
