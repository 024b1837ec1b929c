// SPDX-License-Identifier: Apache-2.0
/* Images from archives: OCI layouts and what docker save writes. See containerd/client.h for the
 * conventions. */
#pragma once

#include <containerd/client.h>
#include <containerd/images.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ctd_import_options {
	size_t size;
	const char
		*base_name; /* prefix of names that are only a tag; with it, images of other names
				  are left out. NULL: "import-<date>" and nothing is left out */
	bool digests;	    /* also make images named base_name@digest */
	bool skip_digest_for_named; /* but not for those with a name */
	const char *index_name;	    /* keep the archive's index under this name */
	bool all_platforms;
	const char *platform; /* NULL: this machine's */
	bool unpack; /* before any image is named, so that a layer which cannot be unpacked leaves no
			image behind */
	const char *snapshotter; /* NULL: the namespace's */
	/* Before and after each image is unpacked; may be NULL. */
	void (*on_unpack)(void *arg, const struct ctd_image *image, bool done);
	void *arg;
};

#define CTD_IMPORT_INIT ((struct ctd_import_options){.size = sizeof(struct ctd_import_options)})

/* Reads an archive from `fd` (a file or a pipe). Nothing refers to the content when it fails, so the
 * daemon collects it. CTD_INVALID_ARGUMENT for what is not an archive, is cut short or lies about a
 * digest. */
CTD_CHECKED CTD_API struct ctd_error *ctd_import(struct ctd_client *client, int fd,
	const struct ctd_import_options *options, struct ctd_images **ret);

#ifdef __cplusplus
}
#endif
