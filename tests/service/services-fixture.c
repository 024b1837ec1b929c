// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "services-fixture.h"

#include "base/alloc.h"
#include "base/fs.h"
#include "google/protobuf/empty.pb-c.h"
#include "meta/namespaces.h"
#include "transfer/transfer.h"

static void must(struct err *e)
{
	if (e)
		fail_msg("%s", err_message(e));
}

static void *run_loop(void *arg)
{
	struct fixture *f = arg;

	loop_run(f->loop);
	return NULL;
}

static void open_stores(struct fixture *f)
{
	struct services *s = &f->services;
	autofree char *path = path_join(f->dir, "metadata.sqlite");
	struct collector_options gc = {
		.pause_threshold = 0.02, .mutation_threshold = 100, .startup_delay_ms = 100};
	struct snapshot_driver *driver;

	must(content_memory_open(&f->store));
	must(meta_open(path, &s->meta));
	s->content = content_new(s->meta, f->store);
	s->snapshots = snapshots_new(s->meta);
	must(memory_driver_open(&driver));
	must(snapshots_add_driver(s->snapshots, driver));
	must(collector_new(s->meta, f->store, s->snapshots, &gc, &s->collector));
	s->exchange = exchange_new();
	s->streams = streams_new();
	struct transfer_options transfer = {
		.meta = s->meta,
		.content = s->content,
		.snapshots = s->snapshots,
		.worker = getenv("WORKER"),
	};

	s->transfer = transfer_new(&transfer);
	s->version = "v2.0.0+test";
	s->revision = "abc";
	s->uuid = "7d1bdb0b-9f1c-4c3e-8d63-2f1e1b1a7c11";
	s->loop = f->loop;
	services_announce(s);
}

static void serve(struct fixture *f)
{
	static const struct rpc_service *const all[] = {&containers_service, &content_service,
		&events_service, &health_service, &images_service, &introspection_service,
		&leases_service, &namespaces_service, &sandbox_controllers_service,
		&sandboxes_service, &snapshots_service, &streaming_service, &transfer_service,
		&version_service};
	static const struct grpc_server_options options;
	static const struct pool_limits limits = {{4, 8, 8}, {100, 100, 100}};
	int pair[2];

	f->pool = pool_new("test", &limits);
	f->server = grpc_server_new(f->loop, f->pool, &options);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		rpc_server_add(f->server, all[i], &f->services);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	must(grpc_server_attach(f->server, pair[0]));
	assert_int_equal(pthread_create(&f->thread, NULL, run_loop, f), 0);
	must(grpc_client_new_fd(pair[1], NULL, &f->client));
}

int fixture_setup(void **state)
{
	struct fixture *f = NEW(struct fixture);
	char dir[] = "/tmp/test-services-XXXXXX";

	f->dir = xstrdup(mkdtemp(dir));
	f->ns = "test";
	f->arena = arena_new();
	must(loop_new(&f->loop));
	open_stores(f);
	serve(f);
	*state = f;
	return 0;
}

static void on_drained(void *arg)
{
	loop_stop(arg);
}

static void drain(void *arg)
{
	struct fixture *f = arg;

	grpc_server_drain(f->server, 0, on_drained, f->loop);
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	grpc_client_free(f->client);
	loop_post(f->loop, drain, f);
	pthread_join(f->thread, NULL);
	pool_free(f->pool);
	grpc_server_free(f->server);
	transfer_free(f->services.transfer);
	streams_free(f->services.streams);
	collector_free(f->services.collector);
	snapshots_free(f->services.snapshots);
	content_free(f->services.content);
	meta_close(f->services.meta);
	content_close(f->store);
	exchange_free(f->services.exchange);
	loop_free(f->loop);
	arena_free(f->arena);
	must(remove_tree(f->dir));
	free(f->dir);
	free(f);
	return 0;
}

static struct rpc_context context_of(const struct fixture *f, struct rpc_metadata md[static 2])
{
	struct rpc_context ctx = {.metadata = md, .timeout_ms = 30000};

	if (f->ns)
		md[ctx.n_metadata++] = (struct rpc_metadata){"containerd-namespace", f->ns};
	if (f->lease)
		md[ctx.n_metadata++] = (struct rpc_metadata){"containerd-lease", f->lease};
	return ctx;
}

void *fixture_try(struct fixture *f, const char *path, const void *request,
	const ProtobufCMessageDescriptor *reply, struct err **ret_e)
{
	struct rpc_metadata md[2];
	struct rpc_context ctx = context_of(f, md);
	void *ret = NULL;

	*ret_e = grpc_call(f->client, &ctx, path, request, reply, f->arena, &ret);
	return *ret_e ? NULL : ret;
}

void *fixture_call(struct fixture *f, const char *path, const void *request,
	const ProtobufCMessageDescriptor *reply)
{
	struct err *e;
	void *ret = fixture_try(f, path, request, reply, &e);

	if (e)
		fail_msg("%s: %s", path, err_message(e));
	return ret;
}

void fixture_fails(struct fixture *f, const char *path, const void *request, enum err_class class,
	const char *text)
{
	struct err *e;

	(void)fixture_try(f, path, request, &google__protobuf__empty__descriptor, &e);
	if (!e)
		fail_msg("%s succeeded", path);
	if (err_class(e) != class || !strstr(err_message(e), text))
		fail_msg("%s: %s: %s", path, err_class_name(err_class(e)), err_message(e));
	err_free(e);
}

struct grpc_stream *fixture_stream(
	struct fixture *f, const char *path, const ProtobufCMessageDescriptor *reply)
{
	struct rpc_metadata md[2];
	struct rpc_context ctx = context_of(f, md);
	struct grpc_stream *s;

	must(grpc_stream_open(f->client, &ctx, path, reply, &s));
	return s;
}
