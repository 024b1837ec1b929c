// SPDX-License-Identifier: Apache-2.0
/* Content descriptors (OCI image-spec, descriptor.md) and the media types that stand in them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/strmap.h"

struct descriptor {
	char *media_type;
	char *digest;
	int64_t size;
	struct strmap annotations;
};

#define DESCRIPTOR_INIT ((struct descriptor){0})

void descriptor_done(struct descriptor *d);
DEFINE_AUTOVAL(descriptor, descriptor_done);
void descriptor_copy(struct descriptor *to, const struct descriptor *from);
/* From the JSON object of a manifest or an index; ERR_INVALID for a missing or malformed member. */
CHECKED struct err *descriptor_from_json(struct json_object *o, struct descriptor *ret);
struct json_object *descriptor_to_json(const struct descriptor *d);

enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD, COMPRESSION_UNKNOWN };

bool media_type_is_index(const char *t);    /* OCI index or docker manifest list */
bool media_type_is_manifest(const char *t); /* OCI or docker schema 2 manifest */
bool media_type_is_config(const char *t);
bool media_type_is_layer(const char *t); /* OCI and docker tar layers of any compression */
/* By the suffix of a layer's media type. docker's plain "...diff.tar" may be either: UNKNOWN. */
enum compression media_type_compression(const char *t);
