// SPDX-License-Identifier: Apache-2.0
/* Filters come from clients: one expression, matched against a small object. */
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *field(void *object, char *const *path, size_t n, bool *ret_present)
{
	*ret_present = path[0][0] == 'l';
	return n > 1 ? path[1] : object;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *text = xstrndup((const char *)data, size);
	autoptr(filter) f = NULL;
	autoptr(err) e = filter_parse(&text, 1, &f);

	if (f)
		(void)filter_match(f, field, (char[]){"some value"});
	return 0;
}
