// SPDX-License-Identifier: Apache-2.0
#include "client/client-internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "proto/namespaces.pb-c.h"
#include "proto/version.pb-c.h"

#define RETRY_MS 20
#define SNAPSHOTTER_LABEL "containerd.io/defaults/snapshotter"

enum ctd_code ctd_error_code(const struct err *e)
{
	return (enum ctd_code)err_class(e);
}

const char *ctd_error_message(const struct err *e)
{
	return err_message(e);
}

void ctd_error_free(struct err *e)
{
	err_free(e);
}

const char *ctd_namespace_name(const struct ctd_client *client)
{
	return client->ns;
}

/* The socket's path, or NULL for an address of another kind. */
static const char *socket_path(const char *address)
{
	if (str_starts(address, "unix://"))
		return address + strlen("unix://");
	return *address == '/' ? address : NULL;
}

/* Says what to do about it when it fails. */
static struct err *connect_socket(const char *path, int *ret)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_new(ERR_INVALID,
			"failed to dial \"%s\": the path is longer than %zu bytes", path,
			sizeof(addr.sun_path) - 1);
	if (fd < 0)
		return err_sys(errno, "socket");
	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0) {
		*ret = TAKE_FD(fd);
		return NULL;
	}
	switch (errno) {
	case ENOENT:
	case ENOTDIR:
		return err_new(ERR_UNAVAILABLE,
			"failed to dial \"%s\": no such socket: start containerd, or say where it "
			"listens (--address, CONTAINERD_ADDRESS)",
			path);
	case ECONNREFUSED:
		return err_new(ERR_UNAVAILABLE,
			"failed to dial \"%s\": connection refused: containerd is not running",
			path);
	case EACCES:
	case EPERM:
		return err_new(ERR_PERMISSION,
			"failed to dial \"%s\": permission denied: run as root, or as a user who "
			"may "
			"open the socket",
			path);
	default:
		return err_sys(errno, "failed to dial \"%s\"", path);
	}
}

static struct err *dial_once(const char *address, int64_t timeout_ms, struct grpc_client **ret)
{
	struct grpc_client_options options = {
		.connect_timeout_ms = timeout_ms,
		.user_agent = "libcontainerd-c",
	};
	const char *path = socket_path(address);
	int fd = -1;

	if (!path)
		return err_wrap(
			grpc_client_new(address, &options, ret), "failed to dial \"%s\"", address);
	TRY(connect_socket(path, &fd));
	return err_wrap(grpc_client_new_fd(fd, &options, ret), "failed to dial \"%s\"", address);
}

/* With time to spare, waits for a daemon that is only starting. */
static struct err *dial(const char *address, int64_t timeout_ms, struct grpc_client **ret)
{
	int64_t until = monotonic_ms() + timeout_ms;

	for (;;) {
		struct err *e = dial_once(address, timeout_ms, ret);

		if (!e || err_is(e, ERR_PERMISSION) || err_is(e, ERR_INVALID) ||
			monotonic_ms() + RETRY_MS > until)
			return e;
		err_free(e);
		poll(NULL, 0, RETRY_MS);
	}
}

struct err *ctd_connect(const struct ctd_client_options *given, struct ctd_client **ret)
{
	struct ctd_client_options options = CTD_CLIENT_INIT;
	struct grpc_client *grpc = NULL;

	if (given)
		memcpy(&options, given, MIN(given->size, sizeof(options)));
	int64_t deadline = options.timeout_ms > 0 ? monotonic_ms() + options.timeout_ms : -1;
	TRY(dial(str_or(options.address, ADDRESS_DEFAULT), options.connect_timeout_ms, &grpc));
	struct ctd_client *c = NEW(struct ctd_client);
	c->grpc = grpc;
	c->ns = xstrdup(str_empty(options.namespace_name) ? "default" : options.namespace_name);
	c->deadline_ms = deadline;
	lock_init(&c->lock);
	*ret = c;
	return NULL;
}

void client_part(struct ctd_client *c, struct grpc_stream *take_s)
{
	struct grpc_stream *before;

	lock_take(&c->lock);
	before = c->parting;
	c->parting = take_s;
	lock_drop(&c->lock);
	if (before) {
		autoptr(arena) arena = arena_new();
		Google__Protobuf__Empty *reply;

		err_free(call_finish(before, arena, &reply));
	}
}

void ctd_close(struct ctd_client *c)
{
	if (!c)
		return;
	client_part(c, NULL);
	grpc_client_free(c->grpc);
	lock_done(&c->lock);
	free(c->snapshotter);
	free(c->ns);
	free(c);
}

struct err *ctd_server_version(struct ctd_client *client, struct ctd_version **ret)
{
	autoptr(arena) arena = arena_new();
	Google__Protobuf__Empty request = GOOGLE__PROTOBUF__EMPTY__INIT;
	Version__VersionResponse *reply;

	TRY(call(SCOPE(client), "/containerd.services.version.v1.Version/Version", &request,
		&version__version_response__descriptor, arena, &reply));
	struct ctd_version *v = record_new(arena, sizeof(*v));
	v->version = reply->version;
	v->revision = reply->revision;
	*ret = v;
	TAKE(arena);
	return NULL;
}

/* --- the default snapshotter --- */

struct err *default_snapshotter_ask(struct ctd_client *c, struct grpc_stream **ret)
{
	Namespaces__GetNamespaceRequest request = NAMESPACES__GET_NAMESPACE_REQUEST__INIT;

	*ret = NULL;
	lock_take(&c->lock);
	bool known = c->snapshotter;
	lock_drop(&c->lock);
	if (known)
		return NULL;
	request.name = c->ns;
	return call_start(SCOPE(c), "/containerd.services.namespaces.v1.Namespaces/Get", &request,
		&namespaces__get_namespace_response__descriptor, ret);
}

struct err *default_snapshotter_take(struct ctd_client *c, struct grpc_stream *take_s)
{
	autoptr(arena) arena = arena_new();
	Namespaces__GetNamespaceResponse *reply;
	const char *name = NULL;

	if (!take_s)
		return NULL;
	autoptr(err) e = call_finish(take_s, arena, &reply);
	/* A namespace that nothing was created in yet has no labels. */
	if (e && !err_is(e, ERR_NOT_FOUND))
		return TAKE(e);
	if (!e && reply->namespace_)
		name = labels_get(labels_from_wire(reply->namespace_->n_labels,
					  reply->namespace_->labels, arena),
			SNAPSHOTTER_LABEL);
	lock_take(&c->lock);
	if (!c->snapshotter)
		c->snapshotter = xstrdup(str_empty(name) ? SNAPSHOTTER_DEFAULT : name);
	lock_drop(&c->lock);
	return NULL;
}

struct err *default_snapshotter(struct ctd_client *c, const char *name, const char **ret)
{
	struct grpc_stream *stream;

	if (!str_empty(name)) {
		*ret = name;
		return NULL;
	}
	TRY(default_snapshotter_ask(c, &stream));
	TRY(default_snapshotter_take(c, stream));
	lock_take(&c->lock);
	*ret = c->snapshotter;
	lock_drop(&c->lock);
	return NULL;
}
