// SPDX-License-Identifier: Apache-2.0
/* Where output goes: "scheme://path?key=value&...", or a bare path. */
#pragma once

#include "base/err.h"
#include "base/strv.h"

enum uri_scheme { URI_FIFO, URI_FILE, URI_BINARY, URI_BINARY_V2 };

struct uri {
	enum uri_scheme scheme;
	char *path;	  /* decoded */
	struct strv args; /* key, value, key, value, ... of the query, decoded; the first value of
		each key, in the order written */
};

void uri_done(struct uri *u);
DEFINE_AUTOVAL(uri, uri_done);
/* ERR_INVALID names the text. */
CHECKED struct err *uri_parse(const char *text, struct uri *ret);
