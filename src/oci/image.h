// SPDX-License-Identifier: Apache-2.0
/*
 * Image documents read with bounds and suspicion: manifests, indexes and configs come from
 * registries and archives. A document is a manifest or an index, never both, and what its
 * descriptor calls it must be what it says.
 */
#pragma once

#include <stdint.h>

#include "base/digest.h"
#include "base/strmap.h"
#include "base/strv.h"
#include "oci/descriptor.h"
#include "oci/platform.h"

#define IMAGE_MANIFEST_MAX_BYTES ((size_t)8 << 20) /* manifests and indexes */
#define IMAGE_CONFIG_MAX_BYTES ((size_t)8 << 20)
#define IMAGE_LAYERS_MAX 4096
#define IMAGE_INDEX_MAX 16384 /* entries of an index */

struct image_manifest {
	char *media_type; /* "" when the document names none */
	struct descriptor config;
	struct descriptor *layers;
	size_t n_layers;
	struct strmap annotations;
};
void image_manifest_done(struct image_manifest *m);
DEFINE_AUTOVAL(image_manifest, image_manifest_done);
/* `media_type` is what the descriptor that led here says. ERR_INVALID names what is wrong. */
CHECKED struct err *image_manifest_parse(
	const char *text, size_t len, const char *media_type, struct image_manifest *ret);

struct image_index_entry {
	struct descriptor descriptor;
	bool has_platform;
	struct platform platform;
};
struct image_index {
	char *media_type;
	struct image_index_entry *entries;
	size_t n_entries;
	struct strmap annotations;
};
void image_index_done(struct image_index *i);
DEFINE_AUTOVAL(image_index, image_index_done);
CHECKED struct err *image_index_parse(
	const char *text, size_t len, const char *media_type, struct image_index *ret);

struct image_config {
	struct platform platform;
	struct strv env, entrypoint, cmd;
	char *working_dir, *user, *stop_signal; /* "" when not there */
	struct strmap labels;
	struct strv diff_ids;
	char *created; /* RFC 3339 as written, or "" */
};
void image_config_done(struct image_config *c);
DEFINE_AUTOVAL(image_config, image_config_done);
CHECKED struct err *image_config_parse(const char *text, size_t len, struct image_config *ret);

/* The name of the snapshot that n layers make (OCI image-spec, config.md#layer-chainid). n >= 1. */
void image_chain_id(const struct strv *diff_ids, size_t n, char ret[static DIGEST_MAX]);
