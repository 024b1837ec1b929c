// SPDX-License-Identifier: Apache-2.0
/* Streaming and Transfer over a real client. The worker needs root: it confines itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services-fixture.h"

#include "archive/tar-reader.h"
#include "archive/tar-writer.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/digest.h"
#include "google/protobuf/empty.pb-c.h"
#include "meta/images.h"
#include "meta/leases.h"
#include "proto/content.pb-c.h"
#include "proto/images.pb-c.h"
#include "proto/streaming.pb-c.h"
#include "proto/transfer-types.pb-c.h"
#include "proto/transfer.pb-c.h"
#include "rpc/message.h"

#define STREAM "/containerd.services.streaming.v1.Streaming/Stream"
#define TRANSFER "/containerd.services.transfer.v1.Transfer/Transfer"
#define NAME "docker.io/library/tiny:1"

static const struct scope in_test = {.ns = "test"};

static void must(struct err *e)
{
	if (e)
		fail_msg("%s", err_message(e));
}

static void refused(struct err *e, enum err_class class, const char *text)
{
	if (err_class(e) != class || !strstr(err_message(e), text))
		fail_msg("%s: %s", err_class_name(err_class(e)), err_message(e));
	err_free(e);
}

/* --- streams as a client has them --- */

static void send_message(struct fixture *f, struct grpc_stream *s, const void *message)
{
	must(grpc_stream_send(s, message_to_any(message, f->arena)));
}

/* The next message, which is of this type; NULL at the end. */
static void *receive(
	struct fixture *f, struct grpc_stream *s, const ProtobufCMessageDescriptor *type)
{
	void *any, *message;

	must(grpc_stream_recv(s, f->arena, &any));
	if (!any)
		return NULL;
	must(message_from_any(any, type, f->arena, &message));
	return message;
}

static struct grpc_stream *begin_stream(struct fixture *f, const char *id)
{
	struct grpc_stream *s = fixture_stream(f, STREAM, &google__protobuf__any__descriptor);
	Streaming__StreamInit init = STREAMING__STREAM_INIT__INIT;

	init.id = (char *)(uintptr_t)id;
	send_message(f, s, &init);
	return s;
}

static struct grpc_stream *open_stream(struct fixture *f, const char *id)
{
	struct grpc_stream *s = begin_stream(f, id);

	assert_non_null(receive(f, s, &google__protobuf__empty__descriptor));
	return s;
}

static void send_window(struct fixture *f, struct grpc_stream *s, int32_t n)
{
	Xfer__WindowUpdate update = XFER__WINDOW_UPDATE__INIT;

	update.update = n;
	send_message(f, s, &update);
}

/* All of the bytes, never more than the server has asked for. */
static void send_bytes(struct fixture *f, struct grpc_stream *s, const uint8_t *bytes, size_t len)
{
	int64_t window = 0;

	while (len > 0) {
		Xfer__Data data = XFER__DATA__INIT;

		while (window == 0) {
			Xfer__WindowUpdate *u = receive(f, s, &xfer__window_update__descriptor);

			assert_non_null(u);
			assert_in_range(u->update, 1, 65536);
			window += u->update;
			assert_in_range(window, 1, 65536);
		}
		data.data.data = (uint8_t *)(uintptr_t)bytes;
		data.data.len = MIN(MIN(len, (size_t)window), (size_t)32768);
		send_message(f, s, &data);
		window -= (int64_t)data.data.len;
		bytes += data.data.len;
		len -= data.data.len;
	}
	must(grpc_stream_close_send(s));
}

/* All that comes, in windows of this size after the one that is open. */
static void receive_bytes(
	struct fixture *f, struct grpc_stream *s, int64_t open, int32_t window, struct buf *ret)
{
	for (;;) {
		Xfer__Data *data;

		if (open == 0) {
			send_window(f, s, window);
			open = window;
		}
		data = receive(f, s, &xfer__data__descriptor);
		if (!data)
			return;
		assert_in_range(data->data.len, 1, MIN(open, 32768));
		open -= (int64_t)data->data.len;
		assert_true(buf_append(ret, data->data.data, data->data.len));
	}
}

/* --- transfers --- */

static struct grpc_stream *begin_transfer(
	struct fixture *f, const void *from, const void *to, const char *progress)
{
	struct grpc_stream *s = fixture_stream(f, TRANSFER, &google__protobuf__empty__descriptor);
	Transfer__TransferRequest request = TRANSFER__TRANSFER_REQUEST__INIT;
	Transfer__TransferOptions options = TRANSFER__TRANSFER_OPTIONS__INIT;

	options.progress_stream = (char *)(uintptr_t)progress;
	if (progress)
		request.options = &options;
	request.source = message_to_any(from, f->arena);
	request.destination = message_to_any(to, f->arena);
	must(grpc_stream_send(s, &request));
	must(grpc_stream_close_send(s));
	return s;
}

static struct err *end_transfer(struct fixture *f, struct grpc_stream *s)
{
	void *reply;
	struct err *e = grpc_stream_recv(s, f->arena, &reply);

	grpc_stream_free(s);
	return e;
}

static struct err *transfer(struct fixture *f, const void *from, const void *to)
{
	return end_transfer(f, begin_transfer(f, from, to, NULL));
}

static Xfer__ImageStore store_of(const char *name)
{
	Xfer__ImageStore s = XFER__IMAGE_STORE__INIT;

	s.name = (char *)(uintptr_t)name;
	return s;
}

/* --- a small image --- */

static struct err *append(void *arg, const void *data, size_t len)
{
	assert_true(buf_append(arg, data, len));
	return NULL;
}

static void add_member(struct tar_writer *tar, const char *name, const char *text)
{
	struct tar_entry entry = {.type = TAR_FILE,
		.name = name,
		.link = "",
		.mode = 0644,
		.size = (int64_t)strlen(text)};

	must(tar_writer_entry(tar, &entry));
	must(tar_writer_data(tar, text, strlen(text)));
}

static char *add_blob(struct tar_writer *tar, const char *text)
{
	char digest[DIGEST_MAX];

	digest_of(text, strlen(text), digest);
	autofree char *name = xasprintf("blobs/sha256/%s", digest_hex(digest));
	add_member(tar, name, text);
	return xstrdup(digest);
}

/* An OCI layout of one image, and what its manifest is called. */
static char *make_layout(struct buf *b)
{
	static const char layer[] = "not really a tar";
	autoptr(tar_writer) tar = tar_writer_new(append, b);
	autofree char *layer_digest = add_blob(tar, layer);
	autofree char *config =
		xasprintf("{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{"
			  "\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}",
			layer_digest);
	autofree char *config_digest = add_blob(tar, config);
	autofree char *manifest = xasprintf(
		"{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
		"\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\","
		"\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"mediaType\":"
		"\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\",\"size\":%zu}]}",
		config_digest, strlen(config), layer_digest, strlen(layer));
	char *manifest_digest = add_blob(tar, manifest);
	autofree char *index = xasprintf(
		"{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":"
		"\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"%s\",\"size\":%zu,"
		"\"annotations\":{\"io.containerd.image.name\":\"" NAME "\"},"
		"\"platform\":{\"architecture\":\"amd64\",\"os\":\"linux\"}}]}",
		manifest_digest, strlen(manifest));

	add_member(tar, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
	add_member(tar, "index.json", index);
	must(tar_writer_finish(tar));
	return manifest_digest;
}

static struct err *import_bytes(struct fixture *f, const void *bytes, size_t len,
	Xfer__ImageStore *to, const char *progress)
{
	struct grpc_stream *archive = open_stream(f, "archive"), *call;
	Xfer__ImageImportStream from = XFER__IMAGE_IMPORT_STREAM__INIT;
	struct err *e;

	from.stream = (char *)(uintptr_t)"archive";
	call = begin_transfer(f, &from, to, progress);
	send_bytes(f, archive, bytes, len);
	e = end_transfer(f, call);
	grpc_stream_free(archive);
	return e;
}

static void with_own_names(
	Xfer__ImageStore *to, Xfer__ImageReference *r, Xfer__ImageReference **list)
{
	xfer__image_reference__init(r);
	r->name = (char *)(uintptr_t)"import";
	r->is_prefix = r->allow_overwrite = true;
	*list = r;
	to->n_extra_references = 1;
	to->extra_references = list;
}

static char *import_image(struct fixture *f, const char *progress)
{
	autoval(buf) b = BUF_INIT((size_t)1 << 20);
	Xfer__ImageStore to = store_of("");
	Xfer__ImageReference r, *list;
	char *digest = make_layout(&b);

	with_own_names(&to, &r, &list);
	/* Behind the end of an archive there may be more. */
	for (int i = 0; i < 20; i++)
		assert_true(buf_append(&b, (uint8_t[4096]){0}, 4096));
	must(import_bytes(f, b.data, b.len, &to, progress));
	return digest;
}

static void assert_label(struct fixture *f, const char *digest, const char *key, bool is_there)
{
	autoval(blob_info) info = {0};

	must(content_info(f->services.content, &in_test, digest, &info));
	assert_int_equal(strmap_get(&info.labels, key) != NULL, is_there);
}

/* --- tests --- */

static void test_stream_names(void **state)
{
	struct fixture *f = *state;
	struct grpc_stream *first = open_stream(f, "a"), *second;
	void *any;

	second = begin_stream(f, "a");
	refused(grpc_stream_recv(second, f->arena, &any), ERR_EXISTS, "stream \"a\"");
	grpc_stream_free(second);
	second = begin_stream(f, "");
	refused(grpc_stream_recv(second, f->arena, &any), ERR_INVALID, "needs an id");
	grpc_stream_free(second);
	second = fixture_stream(f, STREAM, &google__protobuf__any__descriptor);
	send_window(f, second, 1);
	refused(grpc_stream_recv(second, f->arena, &any), ERR_INVALID, "mismatched type");
	grpc_stream_free(second);
	/* The same name in another namespace is another stream. */
	f->ns = "other";
	second = open_stream(f, "a");
	grpc_stream_free(second);
	f->ns = "test";
	grpc_stream_free(first);
	/* Given up by its client, the name is free again before long. */
	for (int i = 0;; i++) {
		second = begin_stream(f, "a");
		struct err *e = grpc_stream_recv(second, f->arena, &any);

		grpc_stream_free(second);
		if (!e)
			break;
		assert_true(i < 1000);
		refused(e, ERR_EXISTS, "");
	}
}

/* The pool has 8 threads for streams. */
static void test_idle_streams_hold_no_thread(void **state)
{
	struct fixture *f = *state;
	struct grpc_stream *streams[64];
	Content__ListContentRequest list = CONTENT__LIST_CONTENT_REQUEST__INIT;
	struct grpc_stream *s;
	void *reply;

	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		autofree char *id = xasprintf("s%zu", i);

		streams[i] = open_stream(f, id);
	}
	s = fixture_stream(f, "/containerd.services.content.v1.Content/List",
		&content__list_content_response__descriptor);
	must(grpc_stream_send(s, &list));
	must(grpc_stream_close_send(s));
	must(grpc_stream_recv(s, f->arena, &reply));
	grpc_stream_free(s);
	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		grpc_stream_free(streams[i]);
}

static void test_echo(void **state)
{
	struct fixture *f = *state;
	struct grpc_stream *in = open_stream(f, "in"), *out = open_stream(f, "out"), *call;
	Xfer__ImageImportStream from = XFER__IMAGE_IMPORT_STREAM__INIT;
	Xfer__ImageExportStream to = XFER__IMAGE_EXPORT_STREAM__INIT;
	autoval(buf) back = BUF_INIT((size_t)1 << 20);
	size_t len = 300001;
	autofree uint8_t *bytes = xmalloc(len);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	from.stream = (char *)(uintptr_t)"in";
	to.stream = (char *)(uintptr_t)"out";
	call = begin_transfer(f, &from, &to, NULL);
	send_window(f, out, 1 << 20);
	send_bytes(f, in, bytes, len);
	receive_bytes(f, out, 1 << 20, 0, &back);
	must(end_transfer(f, call));
	assert_int_equal(back.len, len);
	assert_memory_equal(back.data, bytes, len);
	grpc_stream_free(in);
	grpc_stream_free(out);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	Xfer__OCIRegistry registry = XFER__OCIREGISTRY__INIT;
	Xfer__ImageImportStream import = XFER__IMAGE_IMPORT_STREAM__INIT;
	Xfer__ImageStore store = store_of(NAME), nameless = store_of("");
	struct grpc_stream *s, *call;

	refused(transfer(f, &registry, &store), ERR_UNIMPLEMENTED,
		"method Transfer not implemented for containerd.types.transfer.OCIRegistry to "
		"containerd.types.transfer.ImageStore");
	refused(transfer(f, &store, &registry), ERR_UNIMPLEMENTED, "not implemented");
	refused(transfer(f, &store, &import), ERR_UNIMPLEMENTED, "not implemented");
	import.stream = (char *)(uintptr_t)"nobody";
	refused(transfer(f, &import, &store), ERR_NOT_FOUND, "nobody");
	refused(end_transfer(f, begin_transfer(f, &store, &store, "none")), ERR_NOT_FOUND, "none");
	refused(transfer(f, &store, &nameless), ERR_NOT_FOUND, NAME);
	/* One call at a time. */
	s = open_stream(f, "busy");
	import.stream = (char *)(uintptr_t)"busy";
	call = begin_transfer(f, &import, &store, NULL);
	assert_non_null(receive(f, s, &xfer__window_update__descriptor));
	refused(transfer(f, &import, &store), ERR_PRECONDITION, "is in use");
	grpc_stream_free(s);
	refused(end_transfer(f, call), ERR_CANCELLED, "");
}

static void test_import(void **state)
{
	struct fixture *f = *state;
	struct grpc_stream *progress = open_stream(f, "progress");
	autofree char *digest = import_image(f, "progress");
	static const char *const events[] = {"Importing", "saved", "Completed import"};
	autoval(image) image = {0};
	autoval(lease_list) leases = {0};

	must(images_get(f->services.meta, &in_test, NAME, &image));
	assert_string_equal(image.target.digest, digest);
	assert_label(f, digest, "containerd.io/gc.ref.content.config", true);
	assert_label(f, digest, "containerd.io/gc.ref.content.l.0", true);
	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		Xfer__Progress *p = receive(f, progress, &xfer__progress__descriptor);

		assert_non_null(p);
		assert_string_equal(p->event, events[i]);
		assert_string_equal(p->name, i == 1 ? NAME : "");
		assert_int_equal(p->desc != NULL, i == 1);
	}
	assert_null(receive(f, progress, &xfer__progress__descriptor));
	grpc_stream_free(progress);
	must(leases_list(f->services.meta, &in_test, NULL, 0, &leases));
	assert_int_equal(leases.n, 0);
}

static void test_import_filters(void **state)
{
	struct fixture *f = *state;
	autoval(buf) b = BUF_INIT((size_t)1 << 20);
	autofree char *digest = make_layout(&b);
	Types__Platform other = TYPES__PLATFORM__INIT, *platforms = &other;
	Xfer__ImageReference r, *list;
	Xfer__ImageStore to = store_of("");
	autoval(image) image = {0};

	with_own_names(&to, &r, &list);
	other.os = (char *)(uintptr_t)"linux";
	other.architecture = (char *)(uintptr_t)"s390x";
	to.platforms = &platforms;
	to.n_platforms = 1;
	refused(import_bytes(f, b.data, b.len, &to, NULL), ERR_UNKNOWN, "filtered out");
	to.manifest_limit = 1;
	refused(import_bytes(f, b.data, b.len, &to, NULL), ERR_NOT_FOUND, "no match for platform");
	/* The manifest and its config, not the layer. */
	to.manifest_limit = 0;
	to.all_metadata = true;
	must(import_bytes(f, b.data, b.len, &to, NULL));
	must(images_get(f->services.meta, &in_test, NAME, &image));
}

static void test_import_nothing(void **state)
{
	struct fixture *f = *state;
	static const char noise[2000] = "no archive at all";
	autoval(buf) b = BUF_INIT((size_t)1 << 20);
	autofree char *digest = make_layout(&b);
	Xfer__ImageStore to = store_of("x");
	struct image_list images = {0};

	refused(import_bytes(f, noise, sizeof(noise), &to, NULL), ERR_INVALID, "image archive");
	refused(import_bytes(f, b.data, 520, &to, NULL), ERR_INVALID, "failed to ingest");
	refused(import_bytes(f, b.data, 0, &to, NULL), ERR_INVALID, "unrecognized image format");
	must(images_list(f->services.meta, &in_test, NULL, 0, &images));
	assert_int_equal(images.n, 0);
	image_list_done(&images);
}

/* The client gives up the transfer, not the stream. */
static void test_import_cancelled(void **state)
{
	struct fixture *f = *state;
	struct grpc_stream *archive = open_stream(f, "archive"), *call;
	Xfer__ImageImportStream from = XFER__IMAGE_IMPORT_STREAM__INIT;
	Xfer__ImageStore to = store_of("x");
	void *any;

	from.stream = (char *)(uintptr_t)"archive";
	call = begin_transfer(f, &from, &to, NULL);
	assert_non_null(receive(f, archive, &xfer__window_update__descriptor));
	grpc_stream_free(call);
	must(grpc_stream_recv(archive, f->arena, &any));
	assert_null(any);
	grpc_stream_free(archive);
}

/* Nor does a peer that never reads hold up the call for ever. */
static void test_export_cancelled(void **state)
{
	struct fixture *f = *state;
	autofree char *digest = import_image(f, NULL);
	struct grpc_stream *out = open_stream(f, "out"), *progress = open_stream(f, "p"), *call;
	Xfer__ImageStore from = store_of(NAME);
	Xfer__ImageExportStream to = XFER__IMAGE_EXPORT_STREAM__INIT;
	void *any;

	to.stream = (char *)(uintptr_t)"out";
	call = begin_transfer(f, &from, &to, "p");
	assert_non_null(receive(f, progress, &xfer__progress__descriptor));
	grpc_stream_free(call);
	must(grpc_stream_recv(out, f->arena, &any));
	assert_null(any);
	grpc_stream_free(out);
	grpc_stream_free(progress);
}

static void test_tag(void **state)
{
	struct fixture *f = *state;
	autofree char *digest = import_image(f, NULL);
	autofree char *by_digest = xasprintf("repo@%s", digest);
	Xfer__ImageStore from = store_of(NAME), to = store_of("main:1");
	Xfer__ImageReference plain = XFER__IMAGE_REFERENCE__INIT,
			     prefix = XFER__IMAGE_REFERENCE__INIT,
			     unused = XFER__IMAGE_REFERENCE__INIT;
	Xfer__ImageReference *list[] = {&plain, &prefix, &unused};
	autoval(image) main_image = {0};
	autoval(image) extra = {0};
	autoval(image) digested = {0};

	plain.name = (char *)(uintptr_t)"extra:1";
	prefix.name = (char *)(uintptr_t)"repo";
	prefix.is_prefix = prefix.add_digest = true;
	unused.name = (char *)(uintptr_t)"unused";
	unused.is_prefix = true;
	to.extra_references = list;
	to.n_extra_references = ARRAY_LEN(list);
	/* Twice: what there is already is pointed at the same. */
	must(transfer(f, &from, &to));
	must(transfer(f, &from, &to));
	must(images_get(f->services.meta, &in_test, "main:1", &main_image));
	must(images_get(f->services.meta, &in_test, "extra:1", &extra));
	must(images_get(f->services.meta, &in_test, by_digest, &digested));
	assert_null(strmap_get(&main_image.labels, "containerd.io/gc.bref.image"));
	assert_string_equal(strmap_get(&extra.labels, "containerd.io/gc.bref.image"), "main:1");
	assert_non_null(strmap_get(&digested.labels, "containerd.io/gc.expire"));
	to = store_of("");
	refused(transfer(f, &from, &to), ERR_NOT_FOUND, "no image name found");
}

struct bytes {
	const uint8_t *data;
	size_t len;
};

static struct err *next_bytes(void *arg, const uint8_t **ret, size_t *ret_len)
{
	struct bytes *b = arg;

	*ret = b->data;
	*ret_len = b->len;
	b->len = 0;
	return NULL;
}

static void assert_members(const struct buf *b, const char *const *names, size_t n)
{
	struct bytes bytes = {b->data, b->len};
	autoptr(tar_reader) tar = tar_reader_new(next_bytes, &bytes);
	const struct tar_entry *entry;
	size_t found = 0;

	for (;;) {
		must(tar_reader_next(tar, &entry));
		if (!entry)
			break;
		for (size_t i = 0; i < n; i++)
			found += strcmp(entry->name, names[i]) == 0;
	}
	assert_int_equal(found, n);
}

static void test_export(void **state)
{
	struct fixture *f = *state;
	autofree char *digest = import_image(f, NULL);
	struct grpc_stream *out = open_stream(f, "out"), *call;
	Xfer__ImageStore from = store_of(NAME);
	Xfer__ImageExportStream to = XFER__IMAGE_EXPORT_STREAM__INIT;
	autoval(buf) b = BUF_INIT((size_t)1 << 20);
	autofree char *blob = xasprintf("blobs/sha256/%s", digest_hex(digest));
	const char *const names[] = {"oci-layout", "index.json", "manifest.json", "blobs/", blob};

	to.stream = (char *)(uintptr_t)"out";
	call = begin_transfer(f, &from, &to, NULL);
	/* A window that is no multiple of anything. */
	receive_bytes(f, out, 0, 777, &b);
	must(end_transfer(f, call));
	grpc_stream_free(out);
	assert_members(&b, names, ARRAY_LEN(names));
	/* What tells the daemon that the rest has arrived. */
	assert_int_equal(b.len % 65536, 512);
	/* It can be imported elsewhere. */
	f->ns = "elsewhere";
	Xfer__ImageStore again = store_of("");
	Xfer__ImageReference r, *list;

	with_own_names(&again, &r, &list);
	must(import_bytes(f, b.data, b.len, &again, NULL));
	autoval(image) image = {0};
	must(images_get(f->services.meta, &(struct scope){.ns = "elsewhere"}, NAME, &image));
	assert_string_equal(image.target.digest, digest);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stream_names),
		TEST(test_idle_streams_hold_no_thread),
		TEST(test_echo),
		TEST(test_refused),
		TEST(test_import),
		TEST(test_import_filters),
		TEST(test_import_nothing),
		TEST(test_import_cancelled),
		TEST(test_export_cancelled),
		TEST(test_tag),
		TEST(test_export),
	};

	assert_non_null(getenv("WORKER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
