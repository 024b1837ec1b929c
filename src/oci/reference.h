// SPDX-License-Identifier: Apache-2.0
/* Image names: "docker.io/library/alpine:3.18@sha256:...". */
#pragma once

#include "base/err.h"

struct reference {
	char *name;   /* "docker.io/library/alpine" */
	char *host;   /* "docker.io" */
	char *path;   /* "library/alpine" */
	char *tag;    /* "" when there is none */
	char *digest; /* "" when there is none */
};

#define REFERENCE_INIT ((struct reference){0})

void reference_done(struct reference *r);
DEFINE_AUTOVAL(reference, reference_done);
/* A full name, as in the image store: a host, a path, a tag or digest or none. ERR_INVALID names
 * the text. */
CHECKED struct err *reference_parse(const char *text, struct reference *ret);
/* A name as people type it: "alpine" is docker.io/library/alpine:latest, "me/app" is
 * docker.io/me/app:latest. A tag beside a digest is dropped. */
CHECKED struct err *reference_parse_short(const char *text, struct reference *ret);
/* "name[:tag][@digest]"; caller frees. */
char *reference_format(const struct reference *r);
