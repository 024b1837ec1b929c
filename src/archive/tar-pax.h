// SPDX-License-Identifier: Apache-2.0
/* The records of one pax extended header: "LEN KEY=VALUE\n" in a row. */
#pragma once

#include "archive/tar-reader.h"

struct tar_extent {
	int64_t offset, length;
};

struct tar_extents {
	struct tar_extent *items;
	size_t n, cap;
};

/* Texts point into the buffer that was parsed. */
struct tar_pax {
	const char *path, *link; /* NULL: not given, as everywhere here */
	bool has_size, has_uid, has_gid, has_mtime, has_atime;
	int64_t size, uid, gid;
	struct timestamp mtime, atime;
	struct tar_xattr *xattrs;
	size_t n_xattrs, cap_xattrs;
	/* GNU's sparse files; the map of format 1.0 is in front of the data. */
	const char *sparse_name;
	const char *sparse_map;		 /* 0.1 */
	struct tar_extents sparse_pairs; /* 0.0 */
	bool has_sparse_offset;		 /* of the pair that is under way */
	bool has_real_size;
	int64_t real_size;
	int64_t sparse_major, sparse_minor;
	bool is_sparse;
};

void tar_pax_reset(struct tar_pax *p); /* keeps the memory */
void tar_pax_done(struct tar_pax *p);
/* Changes the text, which must stay as long as the result is used and have a byte behind it. */
CHECKED struct err *tar_pax_parse(struct tar_pax *p, char *text, size_t len);

/* False when there are too many. */
bool tar_extents_add(struct tar_extents *x, int64_t offset, int64_t length);
/* In order, without overlap, within the file, and as long together as the data that is stored. */
bool tar_extents_valid(const struct tar_extents *x, int64_t real_size, int64_t stored);
