// SPDX-License-Identifier: Apache-2.0
/*
 * A streaming reader of tar archives: v7, ustar, star, pax (with global headers, which are skipped)
 * and GNU (long names, base-256 numbers, sparse files of all four kinds). It holds one entry and
 * the piece of input under it; nothing it allocates is larger than the limits below. Malformed input
 * is ERR_INVALID and names the entry; the end of the input between two entries is an end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/timestamp.h"

#define TAR_PATH_MAX 4096 /* bytes of a name or a link target, with the NUL */
#define TAR_COMPONENT_MAX 255
#define TAR_HEADER_MAX ((size_t)1024 * 1024) /* bytes of one extended header */
#define TAR_XATTRS_MAX 1024		     /* of one entry */
#define TAR_EXTENTS_MAX 262144		     /* of one sparse file */

enum tar_type {
	TAR_FILE,
	TAR_HARDLINK,
	TAR_SYMLINK,
	TAR_CHAR_DEVICE,
	TAR_BLOCK_DEVICE,
	TAR_DIR,
	TAR_FIFO,
};

struct tar_xattr {
	const char *name;
	const uint8_t *value;
	size_t len;
};

struct tar_entry {
	enum tar_type type;
	const char *name;	/* as it stands in the archive */
	const char *link;	/* "" for none */
	int64_t mode, uid, gid; /* not checked */
	int64_t size;		/* of the file, holes included; 0 unless TAR_FILE */
	int64_t dev_major, dev_minor;
	struct timestamp mtime;
	struct timestamp atime; /* zero when the archive has none */
	const struct tar_xattr *xattrs;
	size_t n_xattrs;
	bool is_sparse;
};

/* The next piece of input, valid until the next call; *ret_len 0 is the end. */
typedef struct err *(*tar_source_fn)(void *arg, const uint8_t **ret, size_t *ret_len);

struct tar_reader;

struct tar_reader *tar_reader_new(tar_source_fn source, void *arg);
void tar_reader_free(struct tar_reader *r);
DEFINE_AUTOPTR(tar_reader, tar_reader_free);

/* The next entry, skipping what is left of the last one; NULL at the end of the archive. The entry
 * is valid until the next call. */
CHECKED struct err *tar_reader_next(struct tar_reader *r, const struct tar_entry **ret);
/* The next piece of the entry's data and where in the file it belongs; *ret_len is 0 when there is
 * no more. What no piece covers is a hole. */
CHECKED struct err *tar_reader_data(
	struct tar_reader *r, const uint8_t **ret, size_t *ret_len, int64_t *ret_offset);
/* Read the input to its end, whatever is behind the archive. */
CHECKED struct err *tar_reader_drain(struct tar_reader *r);

/* A name from an archive made fit for a message: unprintable bytes as \xNN, cut at 256 bytes. */
char *tar_printable(const char *name);
