// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Well-formed UTF-8 as RFC 3629 has it (no surrogates, no overlong forms); NUL is allowed. */
bool utf8_valid(const char *s, size_t len);
