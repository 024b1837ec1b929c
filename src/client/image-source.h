// SPDX-License-Identifier: Apache-2.0
/* Images as the daemon has them, for the rest of the library: what is in oci/image-tree.h over the
 * daemon's content service. */
#pragma once

#include "client/client-internal.h"

#include <containerd/images.h>
#include "oci/image-tree.h"

struct client_blobs {
	struct image_blobs base;
	const struct scope *scope;
};

extern const struct image_blobs_ops client_blobs_ops;

/* The daemon's blobs, to the end of the block. */
#define BLOBS(s) (&(struct client_blobs){.base = {&client_blobs_ops}, .scope = (s)}.base)

void descriptor_from_public(struct descriptor *to, const struct ctd_descriptor *from);
/* NULL and "": this machine's. */
CHECKED struct err *platform_wanted(const char *text, struct platform *ret);
/* Make a manifest's layers a chain of snapshots; those that are there already are left alone. */
CHECKED struct err *image_unpack(const struct scope *s, const char *snapshotter,
	const struct image_manifest *manifest, const struct image_config *config);
