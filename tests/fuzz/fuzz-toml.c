// SPDX-License-Identifier: Apache-2.0
#include <stddef.h>
#include <stdint.h>

#include "daemon/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autoptr(toml) t = NULL;
	autoptr(err) e = toml_parse("fuzz", (const char *)data, size, &t);

	return 0;
}
