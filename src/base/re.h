// SPDX-License-Identifier: Apache-2.0
/*
 * Regular expressions of the syntax that Go programs write (RE2), for filters. Matching takes time
 * in proportion to text and pattern, whatever the pattern is: it comes from clients. Not supported:
 * Unicode classes (\p) and folding of letters beyond ASCII.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct re;

/* ERR_INVALID for a malformed pattern or one whose program would be too large. */
CHECKED struct err *re_compile(const char *pattern, struct re **ret);
void re_free(struct re *re);
DEFINE_AUTOPTR(re, re_free);
/* Whether it matches anywhere in the text. Safe from several threads at once. */
bool re_match(const struct re *re, const char *text);
