// SPDX-License-Identifier: Apache-2.0
#include "ctr/ctr.h"

#include <containerd/containers.h>

static struct err *run_spec(struct invocation *in)
{
	auto_record const char *text = NULL;

	CALL(ctd_default_spec(&text));
	autoptr(json_object) spec = json_document(text);
	print_json(spec);
	return NULL;
}

static const struct command commands[] = {
	{"spec", NULL, "see the output of the default OCI spec", .run = run_spec},
	COMMANDS_END,
};

const struct command oci_command = {
	.name = "oci",
	.usage = "OCI tools",
	.commands = commands,
};
