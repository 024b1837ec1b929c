// SPDX-License-Identifier: Apache-2.0
/* The rules for names and labels that containerd's clients rely on. */
#pragma once

#include "base/err.h"
#include "base/strmap.h"

/* Letters and digits, joined by single '.', '_' or '-'; at most 76 bytes. ERR_INVALID in
 * containerd's words. */
CHECKED struct err *identifier_check(const char *name);
/* Key and value together at most 4096 bytes. */
CHECKED struct err *label_check(const char *key, const char *value);
CHECKED struct err *labels_check(const struct strmap *labels);
