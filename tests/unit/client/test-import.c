// SPDX-License-Identifier: Apache-2.0
/* Archives, good and hostile, imported into the real services over memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include <containerd/archive.h>
#include <containerd/content.h>
#include <containerd/images.h>
#include <containerd/leases.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/strv.h"
#include "services-fixture.h"

#define CONFIG                                                                                     \
	"{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{},\"rootfs\":{\"type\":\"layers\"," \
	"\"diff_ids\":[\"%s\"]}}"
#define LAYER "this stands for a layer, whose bytes nobody looks at here"
#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"

/* --- making archives --- */

struct tar {
	struct buf buf;
};

#define TAR_INIT ((struct tar){.buf = BUF_INIT((size_t)64 << 20)})

static void tar_done(struct tar *t)
{
	buf_done(&t->buf);
}
DEFINE_AUTOVAL(tar, tar_done);

static void tar_header(struct tar *t, const char *name, char type, size_t size, const char *link)
{
	char h[512] = {0};
	unsigned sum = 0;

	snprintf(h, 100, "%s", name);
	snprintf(h + 100, 8, "%07o", 0644U);
	snprintf(h + 108, 8, "%07o", 0U);
	snprintf(h + 116, 8, "%07o", 0U);
	snprintf(h + 124, 12, "%011o", (unsigned)size);
	snprintf(h + 136, 12, "%011o", 0U);
	memset(h + 148, ' ', 8);
	h[156] = type;
	snprintf(h + 157, 100, "%s", link);
	memcpy(h + 257, "ustar\00000", 8);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
	assert_true(buf_append(&t->buf, h, sizeof(h)));
}

static void tar_file(struct tar *t, const char *name, const char *text)
{
	static const char zeroes[512];
	size_t len = strlen(text);

	tar_header(t, name, '0', len, "");
	assert_true(buf_append(&t->buf, text, len));
	assert_true(buf_append(&t->buf, zeroes, (512 - len % 512) % 512));
}

static void tar_end(struct tar *t)
{
	static const char zeroes[1024];

	assert_true(buf_append(&t->buf, zeroes, sizeof(zeroes)));
}

/* Adds a blob under its own digest and returns that. */
static char *tar_blob(struct tar *t, const char *text)
{
	char digest[DIGEST_MAX];

	digest_of(text, strlen(text), digest);
	autofree char *path = xasprintf("blobs/sha256/%s", digest_hex(digest));
	tar_file(t, path, text);
	return xstrdup(digest);
}

static char *config_for(const char *architecture)
{
	char digest[DIGEST_MAX];

	digest_of(LAYER, strlen(LAYER), digest);
	return xasprintf(CONFIG, architecture, digest);
}

/* What docker save writes, of an image that is one layer. */
static void docker_archive(struct tar *t, const char *tags)
{
	autofree char *config = config_for("amd64");
	autofree char *manifest = xasprintf("[{\"Config\":\"abc.json\",\"RepoTags\":%s,"
					    "\"Layers\":[\"one/layer.tar\"]}]",
		tags);

	tar_file(t, "one/layer.tar", LAYER);
	tar_file(t, "abc.json", config);
	tar_file(t, "manifest.json", manifest);
	tar_end(t);
}

static char *oci_manifest(struct tar *t, const char *architecture)
{
	autofree char *config = config_for(architecture);
	autofree char *config_digest = tar_blob(t, config);
	autofree char *layer_digest = tar_blob(t, LAYER);
	autofree char *manifest = xasprintf(
		"{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE
		"\",\"config\":{\"mediaType\":"
		"\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%zu},"
		"\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":"
		"\"%s\",\"size\":%zu}]}",
		config_digest, strlen(config), layer_digest, strlen(LAYER));
	autofree char *digest = tar_blob(t, manifest);

	return xasprintf("{\"mediaType\":\"" MANIFEST_TYPE "\",\"digest\":\"%s\",\"size\":%zu,"
			 "\"platform\":{\"os\":\"linux\",\"architecture\":\"%s\"},"
			 "\"annotations\":{\"org.opencontainers.image.ref.name\":\"v-%s\"}}",
		digest, strlen(manifest), architecture, architecture);
}

static void oci_archive(struct tar *t)
{
	autofree char *here = oci_manifest(t, "amd64");
	autofree char *other = oci_manifest(t, "s390x");
	autofree char *index =
		xasprintf("{\"schemaVersion\":2,\"manifests\":[%s,%s]}", here, other);

	tar_file(t, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
	tar_file(t, "index.json", index);
	tar_end(t);
}

/* --- asking --- */

/* The library's error as the tests' own. */
static struct err *taken(struct ctd_error *take_e)
{
	if (!take_e)
		return NULL;
	struct err *e =
		err_new((enum err_class)ctd_error_code(take_e), "%s", ctd_error_message(take_e));
	ctd_error_free(take_e);
	return e;
}

struct listening {
	struct rpc_server *server;
	int fd;
};

static void listen_on_loop(void *arg)
{
	struct listening *l = arg;
	struct err *e = grpc_server_listen(l->server, l->fd);

	if (e)
		abort();
	free(l);
}

static struct sockaddr_un address_of(const struct fixture *f)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", f->dir);
	return addr;
}

/* The fixture's server also gets a socket that the library can connect to. */
static int setup(void **state)
{
	int r = fixture_setup(state);
	struct fixture *f = *state;
	struct sockaddr_un addr = address_of(f);
	struct listening *l = NEW(struct listening);

	l->server = f->server;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(l->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(l->fd, 8), 0);
	loop_post(f->loop, listen_on_loop, l);
	return r;
}

static struct ctd_client *client_of(struct fixture *f)
{
	struct ctd_client_options options = CTD_CLIENT_INIT;
	struct sockaddr_un addr = address_of(f);
	struct ctd_client *c = NULL;

	options.address = addr.sun_path;
	assert_null(ctd_connect(&options, &c));
	return c;
}

static struct err *import(struct fixture *f, const struct tar *t,
	const struct ctd_import_options *options, struct ctd_images **ret)
{
	struct ctd_client *c = client_of(f);
	FILE *file = tmpfile();

	assert_non_null(file);
	assert_int_equal(write_full(fileno(file), t->buf.data, t->buf.len), 0);
	rewind(file);
	struct err *e = taken(ctd_import(c, fileno(file), options, ret));
	fclose(file);
	ctd_close(c);
	return e;
}

static void check_nothing_left(struct fixture *f)
{
	struct ctd_client *c = client_of(f);
	struct ctd_images *images;
	struct ctd_leases *leases;

	assert_null(ctd_image_list(c, NULL, 0, &images));
	assert_int_equal(images->n, 0);
	ctd_free(images);
	assert_null(ctd_lease_list(c, NULL, 0, &leases));
	assert_int_equal(leases->n, 0);
	ctd_free(leases);
	ctd_close(c);
}

static void check_refused(
	struct fixture *f, const struct tar *t, enum err_class class, const char *text)
{
	struct ctd_images *images = NULL;
	autoptr(err) e = import(f, t, NULL, &images);

	assert_non_null(e);
	if (!strstr(err_message(e), text) || err_class(e) != class)
		fail_msg("%d %s, not %d %s", err_class(e), err_message(e), class, text);
	assert_null(images);
	check_nothing_left(f);
}

static const char *value_of(struct ctd_labels labels, const char *key)
{
	for (size_t i = 0; i < labels.n; i++) {
		if (strcmp(labels.items[i].key, key) == 0)
			return labels.items[i].value;
	}
	return "";
}

static const char *label_of(struct fixture *f, const char *digest, const char *key, char *ret)
{
	struct ctd_client *c = client_of(f);
	struct ctd_content *info;

	assert_null(ctd_content_info(c, digest, &info));
	snprintf(ret, DIGEST_MAX, "%s", value_of(info->labels, key));
	ctd_free(info);
	ctd_close(c);
	return ret;
}

/* --- tests --- */

static void test_docker(void **state)
{
	struct fixture *f = *state;
	autoval(tar) t = TAR_INIT;
	struct ctd_images *images;
	char want[DIGEST_MAX], config_digest[DIGEST_MAX], layer_digest[DIGEST_MAX];
	char got[DIGEST_MAX];
	autofree char *config = config_for("amd64");

	docker_archive(&t, "[\"demo\",\"example.com/x:1\"]");
	struct err *e = import(f, &t, NULL, &images);
	assert_null(e);
	assert_int_equal(images->n, 2);
	assert_string_equal(images->items[0]->name, "docker.io/library/demo:latest");
	assert_string_equal(images->items[1]->name, "example.com/x:1");
	/* The document that the stock importer makes, byte for byte. */
	digest_of(config, strlen(config), config_digest);
	digest_of(LAYER, strlen(LAYER), layer_digest);
	autofree char *manifest =
		xasprintf("{\"schemaVersion\":2,\"mediaType\":\"application/"
			  "vnd.docker.distribution.manifest.v2"
			  "+json\",\"config\":{\"mediaType\":\"application/"
			  "vnd.docker.container.image.v1+json\","
			  "\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"mediaType\":"
			  "\"application/"
			  "vnd.docker.image.rootfs.diff.tar\",\"digest\":\"%s\",\"size\":%zu}]}",
			config_digest, strlen(config), layer_digest, strlen(LAYER));
	digest_of(manifest, strlen(manifest), want);
	assert_string_equal(images->items[0]->target.digest, want);
	assert_string_equal(
		label_of(f, want, "containerd.io/gc.ref.content.config", got), config_digest);
	assert_string_equal(
		label_of(f, want, "containerd.io/gc.ref.content.l.0", got), layer_digest);
	ctd_free(images);
	/* Again is the same again. */
	assert_null(import(f, &t, NULL, &images));
	assert_string_equal(images->items[0]->target.digest, want);
	ctd_free(images);
}

static void test_docker_links(void **state)
{
	struct fixture *f = *state;
	autoval(tar) t = TAR_INIT;
	struct ctd_images *images;
	autofree char *config = config_for("amd64");

	tar_file(&t, "one/layer.tar", LAYER);
	tar_header(&t, "two/layer.tar", '2', 0, "../one/layer.tar");
	tar_header(&t, "three.tar", '1', 0, "two/layer.tar");
	tar_file(&t, "./abc.json", config);
	tar_file(&t, "manifest.json",
		"[{\"Config\":\"abc.json\",\"RepoTags\":null,\"Layers\":[\"three.tar\"]}]");
	tar_end(&t);
	assert_null(import(f, &t, NULL, &images));
	assert_int_equal(images->n, 0);
	ctd_free(images);
}

static void test_layout(void **state)
{
	struct fixture *f = *state;
	autoval(tar) t = TAR_INIT;
	struct ctd_import_options options = CTD_IMPORT_INIT;
	struct ctd_images *images;

	oci_archive(&t);
	options.base_name = "example.com/foo";
	options.platform = "linux/amd64";
	options.index_name = "the-index";
	options.digests = true;
	options.skip_digest_for_named = true;
	assert_null(import(f, &t, &options, &images));
	assert_int_equal(images->n, 3);
	assert_string_equal(images->items[0]->name, "the-index");
	assert_string_equal(images->items[1]->name, "example.com/foo:v-amd64");
	assert_string_equal(images->items[2]->name, "example.com/foo:v-s390x");
	/* The index refers to what was asked for only. */
	char got[DIGEST_MAX];
	const char *index = images->items[0]->target.digest;
	assert_string_equal(label_of(f, index, "containerd.io/gc.ref.content.m.0", got),
		images->items[1]->target.digest);
	assert_string_equal(label_of(f, index, "containerd.io/gc.ref.content.m.1", got), "");
	ctd_free(images);
}

static void test_layout_all(void **state)
{
	struct fixture *f = *state;
	autoval(tar) t = TAR_INIT;
	struct ctd_import_options options = CTD_IMPORT_INIT;
	struct ctd_images *images;

	oci_archive(&t);
	options.all_platforms = true;
	options.digests = true;
	assert_null(import(f, &t, &options, &images));
	assert_int_equal(images->n, 4);
	assert_memory_equal(images->items[0]->name, "import-", 7);
	assert_non_null(strstr(images->items[1]->name, "@sha256:"));
	ctd_free(images);
}

static void test_other_platform(void **state)
{
	struct fixture *f = *state;
	autoval(tar) t = TAR_INIT;
	struct ctd_import_options options = CTD_IMPORT_INIT;
	struct ctd_images *images = NULL;

	oci_archive(&t);
	options.platform = "linux/riscv64";
	autoptr(err) e = import(f, &t, &options, &images);
	assert_true(err_is(e, ERR_NOT_FOUND));
	assert_non_null(strstr(err_message(e), "filtered out"));
	check_nothing_left(f);
}

static void test_lying_digest(void **state)
{
	struct fixture *f = *state;
	autoval(tar) t = TAR_INIT;

	tar_file(&t,
		"blobs/sha256/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"not empty");
	tar_file(&t, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
	tar_end(&t);
	check_refused(f, &t, ERR_PRECONDITION, "unexpected digest");
}

/* Cut anywhere, the archive is refused: what it describes is not there, or it ends inside a file. */
static void test_truncated(void **state)
{
	struct fixture *f = *state;
	autoval(tar) t = TAR_INIT;

	docker_archive(&t, "[\"demo\"]");
	for (size_t len = 0; len + 1536 < t.buf.len; len += 256) {
		autoval(tar) cut = TAR_INIT;
		struct ctd_images *images = NULL;

		assert_true(buf_append(&cut.buf, t.buf.data, len));
		autoptr(err) e = import(f, &cut, NULL, &images);
		if (!e)
			fail_msg("an archive cut at %zu of %zu was taken", len, t.buf.len);
		check_nothing_left(f);
	}
}

static void test_documents(void **state)
{
	static const struct {
		const char *name, *text, *message;
	} cases[] = {
		{"manifest.json", "{", "manifest.json: JSON"},
		{"manifest.json", "{}", "not a list"},
		{"manifest.json", "[{\"Config\":\"gone\"}]", "image config \"gone\" not found"},
		{"manifest.json", "[{\"Config\":\"../../etc/passwd\"}]", "not found"},
		{"manifest.json", "[1]", "image config \"\" not found"},
		{"oci-layout", "nonsense", "oci-layout: JSON"},
		{"oci-layout", "{\"imageLayoutVersion\":\"9\"}", "unsupported OCI version 9"},
		{"oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", "missing index.json"},
		{"something", "else", "unrecognized image format"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(tar) t = TAR_INIT;

		tar_file(&t, cases[i].name, cases[i].text);
		tar_end(&t);
		check_refused(f, &t, ERR_INVALID, cases[i].message);
	}
}

static void test_bad_documents_inside(void **state)
{
	static const struct {
		const char *config, *manifest, *message;
	} cases[] = {
		{"not json", "[{\"Config\":\"c\",\"Layers\":[]}]", "image config sha256:"},
		{"[]", "[{\"Config\":\"c\",\"Layers\":[]}]", "image config sha256:"},
		{"{\"os\":\"linux\",\"architecture\":\"amd64\"}",
			"[{\"Config\":\"c\",\"Layers\":[\"gone\"]}]", "layer \"gone\" not found"},
		{"{\"os\":\"linux\",\"architecture\":\"amd64\"}",
			"[{\"Config\":\"c\",\"RepoTags\":[\"A B\"],\"Layers\":[]}]",
			"normalize image ref"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(tar) t = TAR_INIT;

		tar_file(&t, "c", cases[i].config);
		tar_file(&t, "manifest.json", cases[i].manifest);
		tar_end(&t);
		check_refused(f, &t, ERR_INVALID, cases[i].message);
	}
}

static void test_two_natures(void **state)
{
	struct fixture *f = *state;
	autoval(tar) t = TAR_INIT;

	tar_file(&t, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
	tar_file(&t, "index.json",
		"{\"schemaVersion\":2,\"manifests\":[],\"config\":{},\"layers\":[]}");
	tar_end(&t);
	check_refused(f, &t, ERR_INVALID, "index sha256:");
}

static void test_large_document(void **state)
{
	struct fixture *f = *state;
	autoval(tar) t = TAR_INIT;
	size_t len = (size_t)21 << 20;
	autofree char *text = xmalloc(len + 1);

	memset(text, ' ', len);
	text[len] = '\0';
	tar_file(&t, "manifest.json", text);
	tar_end(&t);
	check_refused(f, &t, ERR_EXHAUSTED, "larger than");
}

static void test_large_config(void **state)
{
	struct fixture *f = *state;
	autoval(tar) t = TAR_INIT;
	size_t len = (size_t)9 << 20;
	autofree char *text = xmalloc(len + 1);

	memset(text, ' ', len);
	text[len] = '\0';
	tar_file(&t, "c", text);
	tar_file(&t, "manifest.json", "[{\"Config\":\"c\",\"Layers\":[]}]");
	tar_end(&t);
	check_refused(f, &t, ERR_EXHAUSTED, "is larger than");
}

static void test_garbage(void **state)
{
	struct fixture *f = *state;
	autoval(tar) t = TAR_INIT;
	char garbage[4096];

	for (size_t i = 0; i < sizeof(garbage); i++)
		garbage[i] = (char)(i * 7 + 3);
	assert_true(buf_append(&t.buf, garbage, sizeof(garbage)));
	check_refused(f, &t, ERR_INVALID, "image archive");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_docker, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_docker_links, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_layout, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_layout_all, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_other_platform, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_lying_digest, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_truncated, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_documents, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_bad_documents_inside, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_two_natures, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_large_document, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_large_config, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
