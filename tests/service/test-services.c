// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "services-fixture.h"

#include "base/alloc.h"
#include "base/digest.h"
#include "google/protobuf/empty.pb-c.h"
#include "proto/containers.pb-c.h"
#include "proto/content.pb-c.h"
#include "proto/event-service.pb-c.h"
#include "proto/events.pb-c.h"
#include "proto/health.pb-c.h"
#include "proto/images.pb-c.h"
#include "proto/introspection.pb-c.h"
#include "proto/leases.pb-c.h"
#include "proto/namespaces.pb-c.h"
#include "proto/snapshots.pb-c.h"
#include "proto/version.pb-c.h"
#include "rpc/message.h"

#define CONTAINERS "/containerd.services.containers.v1.Containers/"
#define CONTENT "/containerd.services.content.v1.Content/"
#define EVENTS "/containerd.services.events.v1.Events/"
#define HEALTH "/grpc.health.v1.Health/"
#define IMAGES "/containerd.services.images.v1.Images/"
#define INTROSPECTION "/containerd.services.introspection.v1.Introspection/"
#define LEASES "/containerd.services.leases.v1.Leases/"
#define NAMESPACES "/containerd.services.namespaces.v1.Namespaces/"
#define SNAPSHOTS "/containerd.services.snapshots.v1.Snapshots/"
#define VERSION "/containerd.services.version.v1.Version/Version"

static const Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;

static void must(struct err *e)
{
	if (e)
		fail_msg("%s", err_message(e));
}

static void test_version_and_health(void **state)
{
	struct fixture *f = *state;
	Health__HealthCheckRequest check = HEALTH__HEALTH_CHECK_REQUEST__INIT;
	Version__VersionResponse *v =
		fixture_call(f, VERSION, &empty, &version__version_response__descriptor);
	Health__HealthCheckResponse *h;

	assert_string_equal(v->version, "v2.0.0+test");
	assert_string_equal(v->revision, "abc");
	h = fixture_call(f, HEALTH "Check", &check, &health__health_check_response__descriptor);
	assert_int_equal(h->status, HEALTH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING);
	check.service = (char *)"nobody";
	fixture_fails(f, HEALTH "Check", &check, ERR_NOT_FOUND, "unknown service");
	fixture_fails(f, "/no.such.Service/Do", &empty, ERR_UNIMPLEMENTED,
		"unknown service no.such.Service");
}

static void test_namespaces(void **state)
{
	struct fixture *f = *state;
	Namespaces__Namespace n = NAMESPACES__NAMESPACE__INIT;
	Namespaces__CreateNamespaceRequest create = NAMESPACES__CREATE_NAMESPACE_REQUEST__INIT;
	Namespaces__GetNamespaceRequest get = NAMESPACES__GET_NAMESPACE_REQUEST__INIT;
	Namespaces__UpdateNamespaceRequest update = NAMESPACES__UPDATE_NAMESPACE_REQUEST__INIT;
	Namespaces__DeleteNamespaceRequest delete = NAMESPACES__DELETE_NAMESPACE_REQUEST__INIT;
	Namespaces__Namespace__LabelsEntry label = NAMESPACES__NAMESPACE__LABELS_ENTRY__INIT;
	Namespaces__Namespace__LabelsEntry *labels[] = {&label};
	Namespaces__GetNamespaceResponse *got;

	n.name = (char *)"one";
	n.labels = labels;
	n.n_labels = 1;
	label.key = (char *)"a";
	label.value = (char *)"1";
	create.namespace_ = &n;
	fixture_call(f, NAMESPACES "Create", &create,
		&namespaces__create_namespace_response__descriptor);
	fixture_fails(f, NAMESPACES "Create", &create, ERR_EXISTS, "one");
	label.key = (char *)"b";
	update.namespace_ = &n;
	fixture_call(f, NAMESPACES "Update", &update,
		&namespaces__update_namespace_response__descriptor);
	get.name = n.name;
	got = fixture_call(
		f, NAMESPACES "Get", &get, &namespaces__get_namespace_response__descriptor);
	assert_int_equal(got->namespace_->n_labels, 2);
	n.name = (char *)"not a name";
	fixture_fails(f, NAMESPACES "Create", &create, ERR_INVALID, "must match");
	delete.name = (char *)"one";
	fixture_call(f, NAMESPACES "Delete", &delete, &google__protobuf__empty__descriptor);
	fixture_fails(f, NAMESPACES "Delete", &delete, ERR_NOT_FOUND, "one");
}

static void fill_container(Containers__Container *c, Containers__Container__Runtime *runtime,
	Google__Protobuf__Any *spec, const char *id)
{
	containers__container__init(c);
	containers__container__runtime__init(runtime);
	google__protobuf__any__init(spec);
	runtime->name = (char *)"io.containerd.runc.v2";
	spec->type_url = (char *)"types.containerd.io/opencontainers/runtime-spec/1/Spec";
	spec->value = (ProtobufCBinaryData){2, (uint8_t *)"{}"};
	c->id = (char *)id;
	c->image = (char *)"img";
	c->runtime = runtime;
	c->spec = spec;
}

static size_t count_containers(struct fixture *f, const char *filter)
{
	Containers__ListContainersRequest list = CONTAINERS__LIST_CONTAINERS_REQUEST__INIT;
	char *filters[] = {(char *)filter};
	Containers__ListContainersResponse *r;

	list.filters = filters;
	list.n_filters = filter ? 1 : 0;
	r = fixture_call(
		f, CONTAINERS "List", &list, &containers__list_containers_response__descriptor);
	return r->n_containers;
}

static void test_containers(void **state)
{
	struct fixture *f = *state;
	Containers__Container c;
	Containers__Container__Runtime runtime;
	Google__Protobuf__Any spec;
	Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
	char *paths[] = {(char *)"labels.x"};
	Containers__Container__LabelsEntry label = CONTAINERS__CONTAINER__LABELS_ENTRY__INIT;
	Containers__Container__LabelsEntry *labels[] = {&label};
	Containers__CreateContainerRequest create = CONTAINERS__CREATE_CONTAINER_REQUEST__INIT;
	Containers__UpdateContainerRequest update = CONTAINERS__UPDATE_CONTAINER_REQUEST__INIT;
	Containers__DeleteContainerRequest delete = CONTAINERS__DELETE_CONTAINER_REQUEST__INIT;
	Containers__UpdateContainerResponse *updated;

	fill_container(&c, &runtime, &spec, "web");
	create.container = &c;
	fixture_call(f, CONTAINERS "Create", &create,
		&containers__create_container_response__descriptor);
	fixture_fails(f, CONTAINERS "Create", &create, ERR_EXISTS, "container \"web\"");
	c.id = (char *)"db";
	c.image = (char *)"other";
	fixture_call(f, CONTAINERS "Create", &create,
		&containers__create_container_response__descriptor);
	assert_int_equal(count_containers(f, NULL), 2);
	assert_int_equal(count_containers(f, "image==other"), 1);
	assert_int_equal(count_containers(f, "id~=\"^(web|db)$\""), 2);

	label.key = (char *)"x";
	label.value = (char *)"y";
	c.labels = labels;
	c.n_labels = 1;
	c.image = (char *)"ignored by the mask";
	mask.paths = paths;
	mask.n_paths = 1;
	update.container = &c;
	update.update_mask = &mask;
	updated = fixture_call(f, CONTAINERS "Update", &update,
		&containers__update_container_response__descriptor);
	assert_int_equal(updated->container->n_labels, 1);
	assert_string_equal(updated->container->image, "other");

	delete.id = (char *)"db";
	fixture_call(f, CONTAINERS "Delete", &delete, &google__protobuf__empty__descriptor);
	fixture_fails(f, CONTAINERS "Delete", &delete, ERR_NOT_FOUND, "container db: not found");
	f->ns = "elsewhere";
	assert_int_equal(count_containers(f, NULL), 0);
	f->ns = NULL;
	fixture_fails(f, CONTAINERS "Delete", &delete, ERR_PRECONDITION, "namespace is required");
	f->ns = "a b";
	fixture_fails(f, CONTAINERS "Delete", &delete, ERR_INVALID, "must match");
}

/* --- content --- */

static Content__WriteContentResponse *write_step(
	struct grpc_stream *s, struct arena *arena, const Content__WriteContentRequest *req)
{
	Content__WriteContentResponse *r;

	must(grpc_stream_send(s, req));
	must(grpc_stream_recv(s, arena, (void **)&r));
	assert_non_null(r);
	return r;
}

/* Writes a blob in two pieces and returns its digest in `digest`. */
static struct err *write_blob(struct fixture *f, const char *ref, const char *text,
	const char *expected, char digest[static DIGEST_MAX])
{
	autoptr(grpc_stream) s =
		fixture_stream(f, CONTENT "Write", &content__write_content_response__descriptor);
	Content__WriteContentRequest req = CONTENT__WRITE_CONTENT_REQUEST__INIT;
	Content__WriteContentResponse *r;
	size_t half = strlen(text) / 2;

	req.ref = (char *)ref;
	req.action = CONTENT__WRITE_ACTION__WRITE;
	req.data = (ProtobufCBinaryData){half, (uint8_t *)text};
	r = write_step(s, f->arena, &req);
	assert_int_equal(r->offset, half);
	req.action = CONTENT__WRITE_ACTION__COMMIT;
	req.offset = (int64_t)half;
	req.total = (int64_t)strlen(text);
	req.expected = (char *)str_or(expected, "");
	req.data = (ProtobufCBinaryData){strlen(text) - half, (uint8_t *)text + half};
	must(grpc_stream_send(s, &req));
	must(grpc_stream_close_send(s));
	TRY(grpc_stream_recv(s, f->arena, (void **)&r));
	snprintf(digest, DIGEST_MAX, "%s", r->digest);
	return grpc_stream_recv(s, f->arena, (void **)&r);
}

static void test_content(void **state)
{
	struct fixture *f = *state;
	char digest[DIGEST_MAX], wanted[DIGEST_MAX];
	Content__InfoRequest info = CONTENT__INFO_REQUEST__INIT;
	Content__ReadContentRequest read = CONTENT__READ_CONTENT_REQUEST__INIT;
	Content__ReadContentResponse *part;
	Content__InfoResponse *got;
	autoptr(grpc_stream) s = NULL;
	autoptr(err) again = NULL;
	autoptr(err) lie = NULL;

	must(write_blob(f, "one", "hello world", NULL, digest));
	digest_of("hello world", 11, wanted);
	assert_string_equal(digest, wanted);
	info.digest = digest;
	got = fixture_call(f, CONTENT "Info", &info, &content__info_response__descriptor);
	assert_int_equal(got->info->size, 11);

	read.digest = digest;
	read.offset = 6;
	s = fixture_stream(f, CONTENT "Read", &content__read_content_response__descriptor);
	must(grpc_stream_send(s, &read));
	must(grpc_stream_close_send(s));
	must(grpc_stream_recv(s, f->arena, (void **)&part));
	assert_int_equal(part->data.len, 5);
	assert_memory_equal(part->data.data, "world", 5);

	again = write_blob(f, "two", "hello world", digest, wanted);
	assert_true(err_is(again, ERR_EXISTS));
	digest_of("something else", 14, wanted);
	lie = write_blob(f, "three", "hello there", wanted, digest);
	assert_true(err_is(lie, ERR_PRECONDITION));
	assert_non_null(strstr(err_message(lie), "unexpected commit digest"));
	info.digest = (char *)"sha256:short";
	fixture_fails(f, CONTENT "Info", &info, ERR_INVALID, "sha256:short");
}

static void test_content_resumes(void **state)
{
	struct fixture *f = *state;
	Content__WriteContentRequest req = CONTENT__WRITE_CONTENT_REQUEST__INIT;
	Content__WriteContentResponse *r;
	Content__AbortRequest abort_it = CONTENT__ABORT_REQUEST__INIT;
	Content__StatusRequest status = CONTENT__STATUS_REQUEST__INIT;
	autoptr(grpc_stream) second = NULL;
	struct grpc_stream *first =
		fixture_stream(f, CONTENT "Write", &content__write_content_response__descriptor);
	autoptr(err) e = NULL;

	req.ref = (char *)"part";
	req.action = CONTENT__WRITE_ACTION__WRITE;
	req.data = (ProtobufCBinaryData){5, (uint8_t *)"hello"};
	write_step(first, f->arena, &req);
	must(grpc_stream_close_send(first));
	must(grpc_stream_recv(first, f->arena, (void **)&r));
	assert_null(r);
	grpc_stream_free(first);

	second = fixture_stream(f, CONTENT "Write", &content__write_content_response__descriptor);
	req.action = CONTENT__WRITE_ACTION__STAT;
	req.data.len = 0;
	r = write_step(second, f->arena, &req);
	assert_int_equal(r->offset, 5);
	req.action = CONTENT__WRITE_ACTION__WRITE;
	req.offset = 3;
	req.data.len = 5;
	must(grpc_stream_send(second, &req));
	e = grpc_stream_recv(second, f->arena, (void **)&r);
	assert_true(err_is(e, ERR_RANGE));
	abort_it.ref = status.ref = (char *)"part";
	fixture_call(f, CONTENT "Abort", &abort_it, &google__protobuf__empty__descriptor);
	fixture_fails(f, CONTENT "Status", &status, ERR_NOT_FOUND, "part");
}

/* --- images, leases, collection --- */

static Leases__ListResourcesResponse *lease_resources(struct fixture *f, const char *id)
{
	Leases__ListResourcesRequest list = LEASES__LIST_RESOURCES_REQUEST__INIT;

	list.id = (char *)id;
	return fixture_call(
		f, LEASES "ListResources", &list, &leases__list_resources_response__descriptor);
}

static void test_a_lease_keeps_content(void **state)
{
	struct fixture *f = *state;
	Leases__CreateRequest create = LEASES__CREATE_REQUEST__INIT;
	Leases__DeleteRequest delete = LEASES__DELETE_REQUEST__INIT;
	Content__InfoRequest info = CONTENT__INFO_REQUEST__INIT;
	Leases__CreateResponse *lease =
		fixture_call(f, LEASES "Create", &create, &leases__create_response__descriptor);
	char digest[DIGEST_MAX];

	assert_true(strlen(lease->lease->id) > 5);
	f->lease = lease->lease->id;
	must(write_blob(f, "leased", "some content", NULL, digest));
	f->lease = NULL;
	assert_int_equal(lease_resources(f, lease->lease->id)->n_resources, 1);
	must(collector_run(f->services.collector, NULL));
	info.digest = digest;
	fixture_call(f, CONTENT "Info", &info, &content__info_response__descriptor);
	delete.id = lease->lease->id;
	delete.sync = true;
	fixture_call(f, LEASES "Delete", &delete, &google__protobuf__empty__descriptor);
	fixture_fails(f, CONTENT "Info", &info, ERR_NOT_FOUND, digest);
}

static void test_an_image_keeps_its_content(void **state)
{
	struct fixture *f = *state;
	Images__Image image = IMAGES__IMAGE__INIT;
	Types__Descriptor target = TYPES__DESCRIPTOR__INIT;
	Images__CreateImageRequest create = IMAGES__CREATE_IMAGE_REQUEST__INIT;
	Images__DeleteImageRequest delete = IMAGES__DELETE_IMAGE_REQUEST__INIT;
	Images__GetImageRequest get = IMAGES__GET_IMAGE_REQUEST__INIT;
	Content__InfoRequest info = CONTENT__INFO_REQUEST__INIT;
	char digest[DIGEST_MAX];

	must(write_blob(f, "m", "a manifest", NULL, digest));
	image.name = (char *)"docker.io/library/x:latest";
	image.target = &target;
	target.digest = digest;
	target.size = 10;
	target.media_type = (char *)"application/vnd.oci.image.manifest.v1+json";
	create.image = &image;
	fixture_call(f, IMAGES "Create", &create, &images__create_image_response__descriptor);
	fixture_fails(f, IMAGES "Create", &create, ERR_EXISTS, "x:latest");
	must(collector_run(f->services.collector, NULL));
	info.digest = digest;
	fixture_call(f, CONTENT "Info", &info, &content__info_response__descriptor);
	delete.name = image.name;
	delete.sync = true;
	fixture_call(f, IMAGES "Delete", &delete, &google__protobuf__empty__descriptor);
	fixture_fails(f, CONTENT "Info", &info, ERR_NOT_FOUND, digest);
	get.name = image.name;
	fixture_fails(f, IMAGES "Get", &get, ERR_NOT_FOUND, "image \"docker.io/library/x:latest\"");
	image.name = (char *)"";
	fixture_fails(f, IMAGES "Create", &create, ERR_INVALID, "Image.Name required");
}

static void test_snapshots(void **state)
{
	struct fixture *f = *state;
	Snapshots__PrepareSnapshotRequest prepare = SNAPSHOTS__PREPARE_SNAPSHOT_REQUEST__INIT;
	Snapshots__CommitSnapshotRequest commit = SNAPSHOTS__COMMIT_SNAPSHOT_REQUEST__INIT;
	Snapshots__StatSnapshotRequest stat = SNAPSHOTS__STAT_SNAPSHOT_REQUEST__INIT;
	Snapshots__RemoveSnapshotRequest remove = SNAPSHOTS__REMOVE_SNAPSHOT_REQUEST__INIT;
	Snapshots__PrepareSnapshotResponse *mounts;
	Snapshots__StatSnapshotResponse *info;
	char memory[] = "memory";

	prepare.snapshotter = commit.snapshotter = stat.snapshotter = remove.snapshotter = memory;
	prepare.key = (char *)"work";
	mounts = fixture_call(f, SNAPSHOTS "Prepare", &prepare,
		&snapshots__prepare_snapshot_response__descriptor);
	assert_int_equal(mounts->n_mounts, 1);
	fixture_fails(f, SNAPSHOTS "Prepare", &prepare, ERR_EXISTS, "work");
	commit.key = (char *)"work";
	commit.name = (char *)"base";
	fixture_call(f, SNAPSHOTS "Commit", &commit, &google__protobuf__empty__descriptor);
	prepare.key = (char *)"top";
	prepare.parent = (char *)"base";
	fixture_call(f, SNAPSHOTS "Prepare", &prepare,
		&snapshots__prepare_snapshot_response__descriptor);
	stat.key = (char *)"top";
	info = fixture_call(
		f, SNAPSHOTS "Stat", &stat, &snapshots__stat_snapshot_response__descriptor);
	assert_string_equal(info->info->parent, "base");
	assert_int_equal(info->info->kind, SNAPSHOTS__KIND__ACTIVE);
	remove.key = (char *)"base";
	fixture_fails(f, SNAPSHOTS "Remove", &remove, ERR_PRECONDITION, "child");
	prepare.key = (char *)"orphan";
	prepare.parent = (char *)"nobody";
	fixture_fails(f, SNAPSHOTS "Prepare", &prepare, ERR_NOT_FOUND, "nobody");
	prepare.snapshotter = (char *)"zfs";
	fixture_fails(f, SNAPSHOTS "Prepare", &prepare, ERR_INVALID, "snapshotter not loaded: zfs");
}

static void test_events(void **state)
{
	struct fixture *f = *state;
	Evsvc__SubscribeRequest subscribe = EVSVC__SUBSCRIBE_REQUEST__INIT;
	char *filters[] = {(char *)"topic==\"/namespaces/create\",event.name==two"};
	Namespaces__Namespace n = NAMESPACES__NAMESPACE__INIT;
	Namespaces__CreateNamespaceRequest create = NAMESPACES__CREATE_NAMESPACE_REQUEST__INIT;
	autoptr(grpc_stream) s =
		fixture_stream(f, EVENTS "Subscribe", &types__envelope__descriptor);
	Types__Envelope *envelope = NULL;
	Events__NamespaceCreate *event;
	struct err *e;

	subscribe.filters = filters;
	subscribe.n_filters = 1;
	must(grpc_stream_send(s, &subscribe));
	must(grpc_stream_close_send(s));
	create.namespace_ = &n;
	/* The subscription counts from some moment on; names are made until one is seen. */
	for (int i = 0; !envelope; i++) {
		Namespaces__DeleteNamespaceRequest delete =
			NAMESPACES__DELETE_NAMESPACE_REQUEST__INIT;

		assert_true(i < 100);
		n.name = delete.name = (char *)(i % 2 ? "two" : "one");
		fixture_call(f, NAMESPACES "Create", &create,
			&namespaces__create_namespace_response__descriptor);
		fixture_call(f, NAMESPACES "Delete", &delete, &google__protobuf__empty__descriptor);
		e = grpc_stream_recv_until(s, monotonic_ms() + 100, f->arena, (void **)&envelope);
		if (e && !err_is(e, ERR_DEADLINE))
			fail_msg("%s", err_message(e));
		err_free(e);
	}
	assert_string_equal(envelope->topic, "/namespaces/create");
	assert_string_equal(envelope->namespace_, "two");
	must(message_from_any(
		envelope->event, &events__namespace_create__descriptor, f->arena, (void **)&event));
	assert_string_equal(event->name, "two");
}

static void test_publish(void **state)
{
	struct fixture *f = *state;
	Evsvc__PublishRequest publish = EVSVC__PUBLISH_REQUEST__INIT;
	Evsvc__ForwardRequest forward = EVSVC__FORWARD_REQUEST__INIT;
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;

	publish.event = &any;
	publish.topic = (char *)"/test/it";
	fixture_call(f, EVENTS "Publish", &publish, &google__protobuf__empty__descriptor);
	publish.topic = (char *)"test";
	fixture_fails(f, EVENTS "Publish", &publish, ERR_INVALID, "must start with '/'");
	fixture_fails(f, EVENTS "Forward", &forward, ERR_INVALID, "envelope");
}

static void test_introspection(void **state)
{
	struct fixture *f = *state;
	Introspection__PluginInfoRequest info = INTROSPECTION__PLUGIN_INFO_REQUEST__INIT;
	Introspection__ServerResponse *server = fixture_call(
		f, INTROSPECTION "Server", &empty, &introspection__server_response__descriptor);

	assert_string_equal(server->uuid, f->services.uuid);
	assert_int_equal(server->pid, getpid());
	info.type = (char *)"io.containerd.none.v1";
	info.id = (char *)"x";
	fixture_fails(f, INTROSPECTION "PluginInfo", &info, ERR_NOT_FOUND,
		"plugin io.containerd.none.v1.x not found");
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_version_and_health),
		TEST(test_namespaces),
		TEST(test_containers),
		TEST(test_content),
		TEST(test_content_resumes),
		TEST(test_a_lease_keeps_content),
		TEST(test_an_image_keeps_its_content),
		TEST(test_snapshots),
		TEST(test_events),
		TEST(test_publish),
		TEST(test_introspection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
