// SPDX-License-Identifier: Apache-2.0
#include "oci/descriptor.h"

#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "oci/fields.h"

#define OCI_LAYER_PREFIX "application/vnd.oci.image.layer."

void descriptor_done(struct descriptor *d)
{
	free(d->media_type);
	free(d->digest);
	strmap_done(&d->annotations);
	*d = DESCRIPTOR_INIT;
}

void descriptor_copy(struct descriptor *to, const struct descriptor *from)
{
	struct descriptor fresh = {
		.media_type = xstrdup(from->media_type),
		.digest = xstrdup(from->digest),
		.size = from->size,
	};

	strmap_copy(&fresh.annotations, &from->annotations);
	descriptor_done(to);
	*to = fresh;
}

struct err *descriptor_from_json(struct json_object *o, struct descriptor *ret)
{
	autoval(descriptor) d = DESCRIPTOR_INIT;

	if (!json_object_is_type(o, json_type_object))
		return err_new(ERR_INVALID, "descriptor: not an object");
	TRY(err_wrap(field_string(o, "mediaType", &d.media_type), "descriptor"));
	TRY(err_wrap(field_string(o, "digest", &d.digest), "descriptor"));
	TRY(err_wrap(digest_check(d.digest), "descriptor"));
	if (!*d.media_type)
		return err_new(ERR_INVALID, "descriptor %s: \"mediaType\" is missing", d.digest);
	TRY(err_wrap(field_size(o, "size", &d.size), "descriptor %s", d.digest));
	TRY(err_wrap(
		field_string_map(o, "annotations", &d.annotations), "descriptor %s", d.digest));
	*ret = d;
	d = DESCRIPTOR_INIT;
	return NULL;
}

struct json_object *descriptor_to_json(const struct descriptor *d)
{
	struct json_object *o = json_object_new_object();
	struct json_object *annotations;

	json_object_object_add(o, "mediaType", json_object_new_string(str_or(d->media_type, "")));
	json_object_object_add(o, "digest", json_object_new_string(str_or(d->digest, "")));
	json_object_object_add(o, "size", json_object_new_int64(d->size));
	if (!d->annotations.n)
		return o;
	annotations = json_object_new_object();
	for (size_t i = 0; i < d->annotations.n; i++)
		json_object_object_add(annotations, d->annotations.entries[i].key,
			json_object_new_string(d->annotations.entries[i].value));
	json_object_object_add(o, "annotations", annotations);
	return o;
}

/* What a media type without its "+suffix" stands for. */
enum media_kind { KIND_OTHER, KIND_INDEX, KIND_MANIFEST, KIND_CONFIG, KIND_LAYER };

static const struct {
	const char *name;
	enum media_kind kind;
	enum compression compression;
} media_types[] = {
	{"application/vnd.oci.image.index.v1+json", KIND_INDEX, COMPRESSION_UNKNOWN},
	{"application/vnd.docker.distribution.manifest.list.v2+json", KIND_INDEX,
		COMPRESSION_UNKNOWN},
	{"application/vnd.oci.image.manifest.v1+json", KIND_MANIFEST, COMPRESSION_UNKNOWN},
	{"application/vnd.docker.distribution.manifest.v2+json", KIND_MANIFEST,
		COMPRESSION_UNKNOWN},
	{"application/vnd.oci.image.config.v1+json", KIND_CONFIG, COMPRESSION_UNKNOWN},
	{"application/vnd.docker.container.image.v1+json", KIND_CONFIG, COMPRESSION_UNKNOWN},
	{"application/vnd.docker.image.rootfs.diff.tar", KIND_LAYER, COMPRESSION_UNKNOWN},
	{"application/vnd.docker.image.rootfs.foreign.diff.tar", KIND_LAYER, COMPRESSION_UNKNOWN},
	{"application/vnd.docker.image.rootfs.diff.tar.gzip", KIND_LAYER, COMPRESSION_GZIP},
	{"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", KIND_LAYER, COMPRESSION_GZIP},
	{"application/vnd.docker.image.rootfs.diff.tar.zstd", KIND_LAYER, COMPRESSION_ZSTD},
	{"application/vnd.erofs.layer.v1", KIND_LAYER, COMPRESSION_UNKNOWN},
};

static bool is_kind(const char *t, enum media_kind kind)
{
	for (size_t i = 0; t && i < ARRAY_LEN(media_types); i++) {
		if (media_types[i].kind == kind && strcmp(media_types[i].name, t) == 0)
			return true;
	}
	return false;
}

bool media_type_is_index(const char *t)
{
	return is_kind(t, KIND_INDEX);
}

bool media_type_is_manifest(const char *t)
{
	return is_kind(t, KIND_MANIFEST);
}

bool media_type_is_config(const char *t)
{
	return is_kind(t, KIND_CONFIG);
}

bool media_type_is_layer(const char *t)
{
	autofree char *base = NULL;

	if (!t)
		return false;
	base = xstrndup(t, strcspn(t, "+"));
	return str_starts(t, OCI_LAYER_PREFIX) || is_kind(base, KIND_LAYER);
}

static bool has_suffix(const char *suffixes, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = suffixes; (at = strchr(at, '+')) != NULL; at++) {
		if (strncmp(at + 1, name, len) == 0 && (at[len + 1] == '+' || !at[len + 1]))
			return true;
	}
	return false;
}

enum compression media_type_compression(const char *t)
{
	const char *suffixes = t + strcspn(t, "+");
	autofree char *base = xstrndup(t, (size_t)(suffixes - t));

	for (size_t i = 0; i < ARRAY_LEN(media_types); i++) {
		if (media_types[i].kind == KIND_LAYER && strcmp(media_types[i].name, base) == 0)
			return *suffixes ? COMPRESSION_NONE : media_types[i].compression;
	}
	if (!str_starts(base, OCI_LAYER_PREFIX))
		return COMPRESSION_UNKNOWN;
	if (has_suffix(suffixes, "zstd"))
		return COMPRESSION_ZSTD;
	return has_suffix(suffixes, "gzip") ? COMPRESSION_GZIP : COMPRESSION_NONE;
}
