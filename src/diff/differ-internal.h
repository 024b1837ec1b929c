// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "diff/differ.h"

#define LABEL_UNCOMPRESSED "containerd.io/uncompressed"
#define MEDIA_TYPE_LAYER "application/vnd.oci.image.layer.v1.tar"

struct differ {
	struct content *content; /* borrowed */
	char *worker;
	int64_t max_layer_bytes, max_layer_entries;
};
