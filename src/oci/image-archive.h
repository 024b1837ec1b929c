// SPDX-License-Identifier: Apache-2.0
/*
 * An image archive taken in once, front to back: its blobs go to the blobs given as they come, what
 * describes them stays in memory. Then its index: an OCI layout has one; of what docker save writes,
 * the manifests and the index are made that containerd's importer would make, byte for byte, so that
 * digests agree. The archive is hostile: documents are bounded, and a name that promises a digest is
 * held to it. Whoever reads the archive bounds the number of entries.
 */
#pragma once

#include "base/buf.h"
#include "base/map.h"
#include "oci/image-blobs.h"

#define IMAGE_ARCHIVE_JSON_MAX ((size_t)20 << 20)
#define IMAGE_ARCHIVE_NAMES_MAX ((size_t)16 << 20) /* bytes of all names together */

struct image_archive {
	struct image_blobs *blobs; /* borrowed */
	bool compress;		   /* plain layers of docker archives */
	struct map files;	   /* clean path -> struct archive_file, owned */
	struct map links;	   /* clean path -> clean path of its target, owned */
	struct buf layout;	   /* text of oci-layout */
	struct buf manifest;	   /* of manifest.json */
	bool has_layout, has_manifest;
	size_t name_bytes; /* of all files and links */
	/* the file under way */
	char *path;
	struct archive_file *file;
	struct image_writer *writer;
	struct buf *document;
	uint8_t head[4];
	size_t n_head;
};

void image_archive_init(struct image_archive *a, struct image_blobs *blobs);
void image_archive_done(struct image_archive *a);
DEFINE_AUTOVAL(image_archive, image_archive_done);

/* The entries in their order; `archive` is a struct image_archive. */
CHECKED struct err *image_archive_file(void *archive, const char *name, int64_t size);
CHECKED struct err *image_archive_data(void *archive, const void *data, size_t len);
CHECKED struct err *image_archive_file_end(void *archive);
CHECKED struct err *image_archive_link(
	void *archive, const char *name, const char *target, bool is_symlink);

/* After the last entry: the descriptor of the index. */
CHECKED struct err *image_archive_index(struct image_archive *a, struct descriptor *ret);
