// SPDX-License-Identifier: Apache-2.0
/* Names of images and blobs in archives. */
#pragma once

#include "base/err.h"
#include "base/strmap.h"

#define NAME_ANNOTATION "io.containerd.image.name"
#define REF_ANNOTATION "org.opencontainers.image.ref.name"

/* What an OCI layout calls the reference: the tag, "@digest" or "tag@digest" of a full name.
 * Caller frees. */
char *image_ref_name(const char *name);
/* "alpine" -> "docker.io/library/alpine:latest"; caller frees. */
CHECKED struct err *image_full_name(const char *text, char **ret);
/* A reference that is only a tag gets base in front; a full one stays, or is NULL when it does not
 * start with base although only_base asks for it. Caller frees. */
char *image_ref_below(const char *ref, const char *base, bool only_base);
/* "docker.io/library/alpine" -> "alpine:latest", as docker shows it; caller frees. */
CHECKED struct err *image_short_name(const char *name, char **ret);
/* The image name that an index entry's annotations give, or NULL. A reference
 * goes through image_ref_below(). */
char *image_entry_name(const struct strmap *annotations, const char *base, bool only_base);
/* "./a//b/../c" -> "a/c"; names that lead out stay below the top. Caller frees. */
char *image_clean_path(const char *path);
/* The digest that "blobs/sha256/<hex>" promises, or NULL; caller frees. */
char *image_blob_digest(const char *path);
