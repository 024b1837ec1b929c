// SPDX-License-Identifier: Apache-2.0
/* What a shim's `start` may print, and its `-v`. */
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "runtime/bootstrap.h"
#include "runtime/shim-binary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *text = xstrndup((const char *)data, size);
	autoval(bootstrap) b = {0};
	autoptr(err) e = bootstrap_parse((const char *)data, size, &b);

	(void)shim_input_of_version(text);
	return 0;
}
