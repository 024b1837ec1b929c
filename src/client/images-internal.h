// SPDX-License-Identifier: Apache-2.0
/* Image records, for the rest of the library. */
#pragma once

#include "client/client-internal.h"

#include <containerd/images.h>
#include "proto/images.pb-c.h"

void image_from_wire(struct ctd_image *to, const Images__Image *i, struct arena *arena);
/* Ask for an image while something else is under way. */
CHECKED struct err *image_get_start(
	const struct scope *s, const char *name, struct grpc_stream **ret);
CHECKED struct err *image_get_finish(struct grpc_stream *take_s, struct ctd_image **ret);
/* Create the record, or point an existing one at the target. */
CHECKED struct err *image_put(const struct scope *s, const struct ctd_image *image);
