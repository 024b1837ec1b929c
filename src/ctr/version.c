// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "ctr/ctr.h"

#include <containerd/introspection.h>

static struct err *run_version(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_version *v = NULL;
	auto_record struct ctd_server *server = NULL;

	printf("Client:\n  Version:  %s\n  Revision: %s\n\n", ctr_version, ctr_revision);
	fflush(stdout);
	TRY(connect_client(in, &client));
	CALL(ctd_server_version(client, &v));
	printf("Server:\n  Version:  %s\n  Revision: %s\n", v->version, v->revision);
	fflush(stdout);
	CALL(ctd_server_info(client, &server));
	printf("  UUID: %s\n", server->uuid);
	if (strcmp(v->version, ctr_version) != 0)
		fputs("WARNING: version mismatch\n", stderr);
	if (strcmp(v->revision, ctr_revision) != 0)
		fputs("WARNING: revision mismatch\n", stderr);
	return NULL;
}

const struct command version_command = {
	.name = "version",
	.usage = "print the client and server versions",
	.run = run_version,
};

static struct err *run_info(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_server *server = NULL;
	autoptr(json_object) o = json_object_new_object();
	struct json_object *wrapped = json_object_new_object();

	json_object_object_add(o, "server", wrapped);
	TRY(connect_client(in, &client));
	CALL(ctd_server_info(client, &server));
	json_object_object_add(wrapped, "uuid", json_object_new_string(server->uuid));
	if (server->pid)
		json_object_object_add(wrapped, "pid", json_object_new_uint64(server->pid));
	if (server->pidns)
		json_object_object_add(wrapped, "pidns", json_object_new_uint64(server->pidns));
	print_json(o);
	for (size_t i = 0; i < server->deprecations.n; i++)
		fprintf(stderr, "DEPRECATION: %s\n", server->deprecations.items[i]);
	return NULL;
}

const struct command info_command = {
	.name = "info",
	.usage = "print the server's identity",
	.run = run_info,
};
