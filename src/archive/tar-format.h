// SPDX-License-Identifier: Apache-2.0
/* The tar header block, field by field (POSIX.1-2017 pax, "ustar Interchange Format"). */
#pragma once

#include <stdint.h>

#define TAR_BLOCK_BYTES ((size_t)512)

struct tar_header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6];
	char version[2];
	char uname[32];
	char gname[32];
	char dev_major[8];
	char dev_minor[8];
	char prefix[155];
	char pad[12];
};

struct tar_sparse_field {
	char offset[12];
	char length[12];
};

/* What GNU puts where ustar has the prefix. */
struct tar_gnu_header {
	char same[345];
	char atime[12];
	char ctime[12];
	char offset[12];
	char long_names[4];
	char unused;
	struct tar_sparse_field sparse[4];
	char is_extended;
	char real_size[12];
	char pad[17];
};

struct tar_gnu_sparse_block {
	struct tar_sparse_field sparse[21];
	char is_extended;
	char pad[7];
};

_Static_assert(sizeof(struct tar_header) == 512, "a header is a block");
_Static_assert(sizeof(struct tar_gnu_header) == 512, "a header is a block");
_Static_assert(sizeof(struct tar_gnu_sparse_block) == 512, "an extension is a block");
