// SPDX-License-Identifier: Apache-2.0
/* The services over real metadata, content and snapshots in memory, asked by a real client over a
 * socket pair. Tasks need a shim and are tested in tests/interop. */
#pragma once

#include <pthread.h>

#include "rpc/grpc.h"
#include "services/services.h"

struct fixture {
	char *dir;
	struct loop *loop;
	struct pool *pool;
	struct rpc_server *server;
	struct services services;
	struct content_store *store;
	struct grpc_client *client;
	struct arena *arena; /* of replies and requests, freed with the fixture */
	pthread_t thread;
	const char *ns, *lease; /* sent with each call; NULL: not */
};

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* One call; NULL and the error in *ret_e (never NULL then) when it failed. */
void *fixture_try(struct fixture *f, const char *path, const void *request,
	const ProtobufCMessageDescriptor *reply, struct err **ret_e);
/* A call that must succeed. */
void *fixture_call(struct fixture *f, const char *path, const void *request,
	const ProtobufCMessageDescriptor *reply);
/* A call that must fail with the class and a message that contains the text. */
void fixture_fails(struct fixture *f, const char *path, const void *request, enum err_class class,
	const char *text);
struct grpc_stream *fixture_stream(
	struct fixture *f, const char *path, const ProtobufCMessageDescriptor *reply);
