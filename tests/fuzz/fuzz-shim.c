// SPDX-License-Identifier: Apache-2.0
/* What the shim reads from daemons and runtimes; the first byte chooses the parser. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "shim/bootstrap.h"
#include "shim/cgroup.h"
#include "shim/runtime.h"
#include "shim/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_start_input(const uint8_t *data, size_t size)
{
	const struct flags flags = {.ns = "ns", .id = "id", .address = ""};
	autoval(start_input) in = {0};

	start_input_parse(data, size, &flags, &in);
}

static void parse_uri(const char *text)
{
	autoval(uri) u = {0};
	autoptr(err) e = uri_parse(text, &u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *text = size ? xstrndup((const char *)data + 1, size - 1) : NULL;

	if (!size)
		return 0;
	switch (data[0] % 4) {
	case 0:
		parse_start_input(data + 1, size - 1);
		break;
	case 1:
		parse_uri(text);
		break;
	case 2:
		free(runtime_last_error(text, strlen(text)));
		break;
	case 3:
		(void)cgroup_value(text, "oom_kill");
		break;
	}
	return 0;
}
