// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "oci/image-archive.h"

/* A file of the archive that became a blob. */
struct archive_file {
	char digest[DIGEST_MAX];
	int64_t size;
	bool is_compressed;
};

/* Follows links; NULL when there is no such file. */
const struct archive_file *image_archive_find(const struct image_archive *a, const char *path);
