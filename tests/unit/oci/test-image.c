// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "oci/image.h"

#define A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define OCI "application/vnd.oci.image."
#define MANIFEST OCI "manifest.v1+json"
#define INDEX OCI "index.v1+json"
#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define DESC(type, digest, size)                                                                   \
	"{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":" size "}"
#define CONFIG "\"config\":" DESC(OCI "config.v1+json", A, "7")

static void reads_manifest(void **state)
{
	static const char text[] = "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST "\"," CONFIG
				   ",\"layers\":[" DESC(OCI "layer.v1.tar+gzip", B,
					   "9223372036854775807") "],"
								  "\"annotations\":{\"k\":"
								  "\"v\"},\"subject\":null}";
	autoval(image_manifest) m = {0};
	autoptr(err) e = image_manifest_parse(text, strlen(text), MANIFEST, &m);

	assert_null(e);
	assert_string_equal(m.config.digest, A);
	assert_int_equal(m.config.size, 7);
	assert_int_equal(m.n_layers, 1);
	assert_true(m.layers[0].size == INT64_MAX);
	assert_string_equal(m.layers[0].media_type, OCI "layer.v1.tar+gzip");
	assert_string_equal(strmap_get(&m.annotations, "k"), "v");
}

static void refuses_manifests(void **state)
{
	static const struct {
		const char *type, *text;
	} cases[] = {
		{MANIFEST, ""},
		{MANIFEST, "[]"},
		{MANIFEST, "{"},
		{MANIFEST, "{}"},
		{MANIFEST, "{" CONFIG "} x"},
		{INDEX, "{" CONFIG "}"},
		{"text/plain", "{" CONFIG "}"},
		{MANIFEST, "{" CONFIG ",\"manifests\":[]}"},
		{MANIFEST, "{" CONFIG ",\"fsLayers\":[]}"},
		{MANIFEST, "{\"mediaType\":\"" INDEX "\"," CONFIG "}"},
		{DOCKER_MANIFEST, "{\"mediaType\":\"text/plain\"," CONFIG "}"},
		{MANIFEST, "{\"config\":null}"},
		{MANIFEST, "{\"config\":[]}"},
		{MANIFEST, "{" CONFIG ",\"layers\":{}}"},
		{MANIFEST, "{" CONFIG ",\"layers\":[null]}"},
		{MANIFEST, "{" CONFIG ",\"layers\":[{}]}"},
		{MANIFEST, "{" CONFIG ",\"layers\":[" DESC("x/y", "sha256:short", "1") "]}"},
		{MANIFEST, "{" CONFIG ",\"layers\":[" DESC("x/y", B, "-1") "]}"},
		{MANIFEST, "{" CONFIG ",\"layers\":[" DESC("x/y", B, "1.5") "]}"},
		{MANIFEST, "{" CONFIG ",\"layers\":[" DESC("x/y", B, "9223372036854775808") "]}"},
		{MANIFEST, "{" CONFIG ",\"layers\":[" DESC("x/y", B, "\"1\"") "]}"},
		{MANIFEST, "{" CONFIG ",\"layers\":[" DESC("", B, "1") "]}"},
		{MANIFEST, "{" CONFIG ",\"layers\":[" DESC(MANIFEST, B, "1") "]}"},
		{MANIFEST, "{\"config\":" DESC(INDEX, B, "1") "}"},
		{MANIFEST, "{" CONFIG ",\"annotations\":{\"k\":1}}"},
		{MANIFEST, "{" CONFIG ",\"annotations\":{\"k\":\"a\\u0000b\"}}"},
		{MANIFEST, "{\"mediaType\":\"\xff\"," CONFIG "}"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(image_manifest) m = {0};
		autoptr(err) e = image_manifest_parse(
			cases[i].text, strlen(cases[i].text), cases[i].type, &m);

		if (!err_is(e, ERR_INVALID))
			fail_msg("%s as %s: %s", cases[i].text, cases[i].type, err_message(e));
	}
}

static void bounds_documents(void **state)
{
	size_t len = IMAGE_MANIFEST_MAX_BYTES + 1;
	autofree char *big = xmalloc(len);
	autofree char *deep = xcalloc(1, 1001);
	autoval(image_manifest) m = {0};
	autoval(image_config) c = {0};
	autoptr(err) e = NULL;
	autoptr(err) e2 = NULL;
	autoptr(err) e3 = NULL;

	memset(big, ' ', len);
	memcpy(big, "{" CONFIG "}", strlen("{" CONFIG "}"));
	e = image_manifest_parse(big, len, MANIFEST, &m);
	assert_true(err_is(e, ERR_INVALID));
	e2 = image_config_parse(big, SIZE_MAX, &c);
	assert_true(err_is(e2, ERR_INVALID));
	memset(deep, '[', 1000);
	e3 = image_config_parse(deep, 1000, &c);
	assert_true(err_is(e3, ERR_INVALID));
}

static void bounds_layers(void **state)
{
	autoval(strv) layers = STRV_INIT;
	autofree char *joined = NULL;
	autofree char *text = NULL;
	autoval(image_manifest) m = {0};
	autoptr(err) e = NULL;

	for (int i = 0; i <= IMAGE_LAYERS_MAX; i++)
		strv_add(&layers, DESC("x/y", B, "1"));
	joined = strv_join(&layers, ",");
	text = xasprintf("{" CONFIG ",\"layers\":[%s]}", joined);
	e = image_manifest_parse(text, strlen(text), MANIFEST, &m);
	assert_true(err_is(e, ERR_INVALID));
	assert_non_null(strstr(err_message(e), "4097 layers"));
}

static void reads_index(void **state)
{
	static const char text[] =
		"{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" MANIFEST
		"\",\"digest\":\"" A "\",\"size\":1,\"platform\":{\"os\":\"linux\","
		"\"architecture\":\"arm\",\"os.features\":[\"f\"]}}," DESC(MANIFEST, B, "2") "]}";
	autoval(image_index) x = {0};
	autoptr(err) e = image_index_parse(text, strlen(text), INDEX, &x);
	autoval(image_manifest) m = {0};
	autoptr(err) e2 = image_manifest_parse(text, strlen(text), MANIFEST, &m);

	assert_null(e);
	assert_int_equal(x.n_entries, 2);
	assert_true(x.entries[0].has_platform);
	assert_string_equal(x.entries[0].platform.variant, "v7");
	assert_false(x.entries[1].has_platform);
	assert_string_equal(x.entries[1].descriptor.digest, B);
	assert_true(err_is(e2, ERR_INVALID));
}

static void refuses_indexes(void **state)
{
	static const char *const bad[] = {
		"{\"manifests\":[],\"layers\":[]}",
		"{\"manifests\":[]," CONFIG "}",
		"{\"mediaType\":\"" MANIFEST "\",\"manifests\":[]}",
		"{\"manifests\":[1]}",
		"{\"manifests\":[{\"mediaType\":\"" MANIFEST "\",\"digest\":\"" A
		"\",\"size\":1,\"platform\":{\"os\":1}}]}",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		autoval(image_index) x = {0};
		autoptr(err) e = image_index_parse(bad[i], strlen(bad[i]), INDEX, &x);

		if (!err_is(e, ERR_INVALID))
			fail_msg("%s: %s", bad[i], err_message(e));
	}
}

static void reads_config(void **state)
{
	static const char text[] =
		"{\"os\":\"linux\",\"architecture\":\"x86_64\",\"created\":\"2020-01-02T03:04:"
		"05Z\","
		"\"config\":{\"Env\":[\"A=b\"],\"Entrypoint\":null,\"Cmd\":[\"sh\",\"-c\"],"
		"\"WorkingDir\":\"/w\",\"User\":\"me\",\"Labels\":{\"l\":\"1\"},"
		"\"StopSignal\":\"SIGINT\"},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" A
		"\",\"" B "\"]}}";
	autoval(image_config) c = {0};
	autoptr(err) e = image_config_parse(text, strlen(text), &c);
	char chain[DIGEST_MAX];

	assert_null(e);
	assert_string_equal(c.platform.architecture, "amd64");
	assert_string_equal(c.env.items[0], "A=b");
	assert_int_equal(c.entrypoint.n, 0);
	assert_int_equal(c.cmd.n, 2);
	assert_string_equal(c.working_dir, "/w");
	assert_string_equal(c.user, "me");
	assert_string_equal(c.stop_signal, "SIGINT");
	assert_string_equal(strmap_get(&c.labels, "l"), "1");
	assert_int_equal(c.diff_ids.n, 2);
	image_chain_id(&c.diff_ids, 1, chain);
	assert_string_equal(chain, A);
	image_chain_id(&c.diff_ids, 2, chain);
	/* printf 'A B' | sha256sum */
	assert_string_equal(
		chain, "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c");
}

static void reads_bare_config(void **state)
{
	autoval(image_config) c = {0};
	autoptr(err) e = image_config_parse("{}", 2, &c);

	assert_null(e);
	assert_string_equal(c.user, "");
	assert_string_equal(c.working_dir, "");
	assert_int_equal(c.diff_ids.n, 0);
}

static void refuses_configs(void **state)
{
	static const char *const bad[] = {
		"null",
		"{\"config\":\"x\"}",
		"{\"config\":{\"Env\":\"A=b\"}}",
		"{\"config\":{\"Cmd\":[1]}}",
		"{\"config\":{\"User\":0}}",
		"{\"config\":{\"User\":\"a\\u0000b\"}}",
		"{\"rootfs\":{\"diff_ids\":[\"../../x\"]}}",
		"{\"rootfs\":[]}",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		autoval(image_config) c = {0};
		autoptr(err) e = image_config_parse(bad[i], strlen(bad[i]), &c);

		if (!err_is(e, ERR_INVALID))
			fail_msg("%s: %s", bad[i], err_message(e));
	}
}

static void knows_media_types(void **state)
{
	static const struct {
		const char *type;
		char kind; /* i m c l or - */
		enum compression compression;
	} cases[] = {
		{INDEX, 'i', COMPRESSION_UNKNOWN},
		{"application/vnd.docker.distribution.manifest.list.v2+json", 'i',
			COMPRESSION_UNKNOWN},
		{MANIFEST, 'm', COMPRESSION_UNKNOWN},
		{DOCKER_MANIFEST, 'm', COMPRESSION_UNKNOWN},
		{OCI "config.v1+json", 'c', COMPRESSION_UNKNOWN},
		{"application/vnd.docker.container.image.v1+json", 'c', COMPRESSION_UNKNOWN},
		{OCI "layer.v1.tar", 'l', COMPRESSION_NONE},
		{OCI "layer.v1.tar+gzip", 'l', COMPRESSION_GZIP},
		{OCI "layer.v1.tar+zstd", 'l', COMPRESSION_ZSTD},
		{OCI "layer.nondistributable.v1.tar+gzip", 'l', COMPRESSION_GZIP},
		{"application/vnd.docker.image.rootfs.diff.tar", 'l', COMPRESSION_UNKNOWN},
		{"application/vnd.docker.image.rootfs.diff.tar.gzip", 'l', COMPRESSION_GZIP},
		{"application/vnd.docker.image.rootfs.diff.tar.zstd", 'l', COMPRESSION_ZSTD},
		{"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", 'l',
			COMPRESSION_GZIP},
		{"application/vnd.docker.image.rootfs.diff.tar.gzip+encrypted", 'l',
			COMPRESSION_NONE},
		{"application/octet-stream", '-', COMPRESSION_UNKNOWN},
		{"", '-', COMPRESSION_UNKNOWN},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *t = cases[i].type;

		assert_int_equal(media_type_is_index(t), cases[i].kind == 'i');
		assert_int_equal(media_type_is_manifest(t), cases[i].kind == 'm');
		assert_int_equal(media_type_is_config(t), cases[i].kind == 'c');
		assert_int_equal(media_type_is_layer(t), cases[i].kind == 'l');
		assert_int_equal(media_type_compression(t), cases[i].compression);
	}
}

static void writes_descriptors(void **state)
{
	autoval(descriptor) d = DESCRIPTOR_INIT;
	autoval(descriptor) back = DESCRIPTOR_INIT;
	autoval(descriptor) copy = DESCRIPTOR_INIT;
	autoptr(json_object) o = NULL;
	autoptr(err) e = NULL;

	d.media_type = xstrdup("a/b");
	d.digest = xstrdup(A);
	d.size = INT64_MAX;
	strmap_set(&d.annotations, "k", "v");
	o = descriptor_to_json(&d);
	e = descriptor_from_json(o, &back);
	assert_null(e);
	descriptor_copy(&copy, &back);
	assert_string_equal(copy.media_type, "a/b");
	assert_string_equal(copy.digest, A);
	assert_true(copy.size == INT64_MAX);
	assert_string_equal(strmap_get(&copy.annotations, "k"), "v");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_manifest),
		cmocka_unit_test(refuses_manifests),
		cmocka_unit_test(bounds_documents),
		cmocka_unit_test(bounds_layers),
		cmocka_unit_test(reads_index),
		cmocka_unit_test(refuses_indexes),
		cmocka_unit_test(reads_config),
		cmocka_unit_test(reads_bare_config),
		cmocka_unit_test(refuses_configs),
		cmocka_unit_test(knows_media_types),
		cmocka_unit_test(writes_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
