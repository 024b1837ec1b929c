// SPDX-License-Identifier: Apache-2.0
/*
 * An image archive read once, front to back: its blobs go to the content store as they come, what
 * describes them stays in memory. The archive is hostile: entries and documents are bounded, a name
 * that promises a digest is held to it.
 */
#pragma once

#include "base/digest.h"
#include "base/map.h"
#include "client/client-internal.h"

#define ARCHIVE_ENTRIES_MAX 65536
#define ARCHIVE_JSON_MAX ((size_t)20 << 20)

struct archive_blob {
	char digest[DIGEST_MAX];
	int64_t size;
	bool is_compressed;
};

struct archive {
	struct map blobs; /* clean path -> struct archive_blob, owned */
	struct map links; /* clean path -> clean path of its target, owned */
	char *layout;	  /* text of oci-layout, or NULL */
	char *manifest;	  /* of manifest.json, or NULL */
	size_t layout_len, manifest_len;
};

void archive_done(struct archive *a);
DEFINE_AUTOVAL(archive, archive_done);
CHECKED struct err *archive_read(const struct scope *s, int fd, struct archive *ret);
/* Follows links; NULL when there is no such blob. */
const struct archive_blob *archive_find(const struct archive *a, const char *path);
