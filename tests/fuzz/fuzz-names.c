// SPDX-License-Identifier: Apache-2.0
/* References and platforms: what is accepted must come back the same. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "oci/platform.h"
#include "oci/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_reference(const char *text)
{
	autoval(reference) r = REFERENCE_INIT;
	autoptr(err) e = reference_parse(text, &r);
	autofree char *back = NULL;

	if (e)
		return;
	back = reference_format(&r);
	assert(strcmp(back, text) == 0);
}

static void try_short(const char *text)
{
	autoval(reference) r = REFERENCE_INIT;
	autoval(reference) again = REFERENCE_INIT;
	autoptr(err) e = reference_parse_short(text, &r);
	autoptr(err) e2 = NULL;
	autofree char *full = NULL;

	if (e)
		return;
	full = reference_format(&r);
	e2 = reference_parse(full, &again);
	assert(!e2);
}

static void try_platform(const char *text)
{
	autoval(platform) p = PLATFORM_INIT;
	autoval(platform) again = PLATFORM_INIT;
	autoptr(err) e = platform_parse(text, &p);
	autoptr(err) e2 = NULL;
	autofree char *all = NULL;

	if (e)
		return;
	assert(platform_match(&p, &p) > 0);
	all = platform_format_all(&p);
	/* Escapes may take it beyond what is read. */
	if (strlen(all) <= 256) {
		e2 = platform_parse(all, &again);
		assert(!e2);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *text = xstrndup((const char *)data, size);

	try_reference(text);
	try_short(text);
	try_platform(text);
	return 0;
}
