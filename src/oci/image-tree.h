// SPDX-License-Identifier: Apache-2.0
/* From an image's target to the documents below it, all of which are hostile: bounded, parsed by
 * oci/image.h, and of the kind that their descriptor says. */
#pragma once

#include "oci/image-blobs.h"
#include "oci/image.h"

#define IMAGE_DEPTH_MAX 8 /* indexes in indexes */

/* The children of a manifest (config first, then layers) or an index as entries of an index; none
 * for what has no children. */
CHECKED struct err *image_children(
	struct image_blobs *b, const struct descriptor *d, struct image_index *ret);
/* The manifest of the image for a platform. ERR_NOT_FOUND when there is none. */
CHECKED struct err *image_manifest_load(struct image_blobs *b, const struct descriptor *target,
	const struct platform *wanted, struct image_manifest *ret);
CHECKED struct err *image_config_load(
	struct image_blobs *b, const struct descriptor *d, struct image_config *ret);
/* Leave the entries that serve a platform, the best first, at most `max`. */
void image_index_select(struct image_index *index, const struct platform *wanted, size_t max);
void image_index_drop(struct image_index *index, size_t i);
/* Label the parent so that the collector keeps its children, as all of containerd's clients do. */
CHECKED struct err *image_label_children(
	struct image_blobs *b, const struct descriptor *parent, const struct image_index *children);
