// SPDX-License-Identifier: Apache-2.0
/* From an image's target to the documents below it, all of which are hostile: bounded, parsed by
 * src/oci, and of the kind that their descriptor says. */
#pragma once

#include "client/client-internal.h"

#include <containerd/images.h>
#include "oci/image.h"

#define IMAGE_DEPTH_MAX 8 /* indexes in indexes */

void descriptor_from_public(struct descriptor *to, const struct ctd_descriptor *from);

/* The children of a manifest (config first, then layers) or an index as entries of an index; none
 * for what has no children. */
CHECKED struct err *image_children(
	const struct scope *s, const struct descriptor *d, struct image_index *ret);
/* The manifest of the image for a platform. ERR_NOT_FOUND when there is none. */
CHECKED struct err *image_manifest_load(const struct scope *s, const struct descriptor *target,
	const struct platform *wanted, struct image_manifest *ret);
CHECKED struct err *image_config_load(
	const struct scope *s, const struct descriptor *d, struct image_config *ret);
/* NULL and "": this machine's. */
CHECKED struct err *platform_wanted(const char *text, struct platform *ret);
/* Leave the entries that serve a platform, the best first, at most `max`. */
void image_index_select(struct image_index *index, const struct platform *wanted, size_t max);

/* Make a manifest's layers a chain of snapshots; those that are there already are left alone. */
CHECKED struct err *image_unpack(const struct scope *s, const char *snapshotter,
	const struct image_manifest *manifest, const struct image_config *config);
