// SPDX-License-Identifier: Apache-2.0
#include "oci/image.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "oci/fields.h"

void image_manifest_done(struct image_manifest *m)
{
	free(m->media_type);
	descriptor_done(&m->config);
	for (size_t i = 0; i < m->n_layers; i++)
		descriptor_done(&m->layers[i]);
	free(m->layers);
	strmap_done(&m->annotations);
	*m = (struct image_manifest){0};
}

void image_index_done(struct image_index *x)
{
	free(x->media_type);
	for (size_t i = 0; i < x->n_entries; i++) {
		descriptor_done(&x->entries[i].descriptor);
		platform_done(&x->entries[i].platform);
	}
	free(x->entries);
	strmap_done(&x->annotations);
	*x = (struct image_index){0};
}

void image_config_done(struct image_config *c)
{
	platform_done(&c->platform);
	strv_done(&c->env);
	strv_done(&c->entrypoint);
	strv_done(&c->cmd);
	free(c->working_dir);
	free(c->user);
	free(c->stop_signal);
	strmap_done(&c->labels);
	strv_done(&c->diff_ids);
	free(c->created);
	*c = (struct image_config){0};
}

static struct err *parse_object(const char *text, size_t len, size_t max, struct json_object **ret)
{
	autoptr(json_object) o = NULL;

	if (len > max)
		return err_new(ERR_INVALID, "%zu bytes, more than %zu", len, max);
	TRY(json_parse(text, len, &o));
	if (!json_object_is_type(o, json_type_object))
		return err_new(ERR_INVALID, "not a JSON object");
	*ret = TAKE(o);
	return NULL;
}

static bool has_value(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(o, key, &value) && value;
}

/* A document that could be read as one thing by us and as another by somebody else is refused. */
static struct err *check_kind(struct json_object *o, const char *said, const char *media_type)
{
	bool is_index = media_type_is_index(media_type);

	if (has_value(o, "fsLayers"))
		return err_new(ERR_INVALID, "media-type: schema 1 not supported");
	if (!is_index && (has_value(o, "manifests") || media_type_is_index(said)))
		return err_new(ERR_INVALID, "media-type: expected manifest but found index (%s)",
			media_type);
	if (is_index &&
		(has_value(o, "config") || has_value(o, "layers") || media_type_is_manifest(said)))
		return err_new(ERR_INVALID, "media-type: expected index but found manifest (%s)",
			media_type);
	if (*said && !media_type_is_index(said) && !media_type_is_manifest(said))
		return err_new(ERR_INVALID, "media-type: the document calls itself %s, not %s",
			said, media_type);
	return NULL;
}

/* What a manifest is made of cannot itself be a manifest. */
static struct err *check_leaf(const struct descriptor *d, const char *role)
{
	if (media_type_is_index(d->media_type) || media_type_is_manifest(d->media_type))
		return err_new(
			ERR_INVALID, "%s %s has media type %s", role, d->digest, d->media_type);
	return NULL;
}

static struct err *parse_layers(struct json_object *o, struct image_manifest *m)
{
	struct json_object *array;
	size_t n;

	TRY(field_array(o, "layers", &array));
	n = array ? json_object_array_length(array) : 0;
	if (n > IMAGE_LAYERS_MAX)
		return err_new(ERR_INVALID, "%zu layers, more than %d", n, IMAGE_LAYERS_MAX);
	m->layers = xcalloc(n + 1, sizeof(*m->layers));
	for (size_t i = 0; i < n; i++) {
		TRY(err_wrap(
			descriptor_from_json(json_object_array_get_idx(array, i), &m->layers[i]),
			"layer %zu", i));
		m->n_layers++;
		TRY(check_leaf(&m->layers[i], "layer"));
	}
	return NULL;
}

static struct err *parse_manifest(
	const char *text, size_t len, const char *media_type, struct image_manifest *m)
{
	autoptr(json_object) o = NULL;
	struct json_object *config;

	TRY(parse_object(text, len, IMAGE_MANIFEST_MAX_BYTES, &o));
	TRY(field_string(o, "mediaType", &m->media_type));
	TRY(check_kind(o, m->media_type, media_type));
	TRY(field_object(o, "config", &config));
	if (!config)
		return err_new(ERR_INVALID, "\"config\" is missing");
	TRY(err_wrap(descriptor_from_json(config, &m->config), "config"));
	TRY(check_leaf(&m->config, "config"));
	TRY(parse_layers(o, m));
	return field_string_map(o, "annotations", &m->annotations);
}

struct err *image_manifest_parse(
	const char *text, size_t len, const char *media_type, struct image_manifest *ret)
{
	autoval(image_manifest) m = {0};

	if (!media_type_is_manifest(media_type))
		return err_new(ERR_INVALID, "%s is no media type of a manifest", media_type);
	TRY(err_wrap(parse_manifest(text, len, media_type, &m), "manifest"));
	*ret = m;
	m = (struct image_manifest){0};
	return NULL;
}

static struct err *parse_platform(struct json_object *o, struct platform *p)
{
	TRY(field_string(o, "os", &p->os));
	TRY(field_string(o, "architecture", &p->architecture));
	TRY(field_string(o, "variant", &p->variant));
	TRY(field_string(o, "os.version", &p->os_version));
	TRY(field_strings(o, "os.features", &p->os_features));
	return NULL;
}

static struct err *parse_entry(struct json_object *o, struct image_index_entry *e)
{
	struct json_object *platform;

	TRY(descriptor_from_json(o, &e->descriptor));
	TRY(field_object(o, "platform", &platform));
	if (!platform)
		return NULL;
	e->has_platform = true;
	TRY(err_wrap(parse_platform(platform, &e->platform), "platform"));
	platform_normalize(&e->platform);
	return NULL;
}

static struct err *parse_index(
	const char *text, size_t len, const char *media_type, struct image_index *x)
{
	autoptr(json_object) o = NULL;
	struct json_object *array;
	size_t n;

	TRY(parse_object(text, len, IMAGE_MANIFEST_MAX_BYTES, &o));
	TRY(field_string(o, "mediaType", &x->media_type));
	TRY(check_kind(o, x->media_type, media_type));
	TRY(field_array(o, "manifests", &array));
	n = array ? json_object_array_length(array) : 0;
	if (n > IMAGE_INDEX_MAX)
		return err_new(ERR_INVALID, "%zu manifests, more than %d", n, IMAGE_INDEX_MAX);
	x->entries = xcalloc(n + 1, sizeof(*x->entries));
	for (size_t i = 0; i < n; i++) {
		x->n_entries++;
		TRY(err_wrap(parse_entry(json_object_array_get_idx(array, i), &x->entries[i]),
			"manifest %zu", i));
	}
	return field_string_map(o, "annotations", &x->annotations);
}

struct err *image_index_parse(
	const char *text, size_t len, const char *media_type, struct image_index *ret)
{
	autoval(image_index) x = {0};

	if (!media_type_is_index(media_type))
		return err_new(ERR_INVALID, "%s is no media type of an index", media_type);
	TRY(err_wrap(parse_index(text, len, media_type, &x), "index"));
	*ret = x;
	x = (struct image_index){0};
	return NULL;
}

/* What a container is to be started with. */
static struct err *parse_run_config(struct json_object *o, struct image_config *c)
{
	TRY(field_strings(o, "Env", &c->env));
	TRY(field_strings(o, "Entrypoint", &c->entrypoint));
	TRY(field_strings(o, "Cmd", &c->cmd));
	TRY(field_string(o, "WorkingDir", &c->working_dir));
	TRY(field_string(o, "User", &c->user));
	TRY(field_string(o, "StopSignal", &c->stop_signal));
	return field_string_map(o, "Labels", &c->labels);
}

static struct err *parse_diff_ids(struct json_object *o, struct image_config *c)
{
	struct json_object *rootfs;

	TRY(field_object(o, "rootfs", &rootfs));
	if (!rootfs)
		return NULL;
	TRY(field_strings(rootfs, "diff_ids", &c->diff_ids));
	if (c->diff_ids.n > IMAGE_LAYERS_MAX)
		return err_new(
			ERR_INVALID, "%zu layers, more than %d", c->diff_ids.n, IMAGE_LAYERS_MAX);
	for (size_t i = 0; i < c->diff_ids.n; i++)
		TRY(err_wrap(digest_check(c->diff_ids.items[i]), "diff_ids"));
	return NULL;
}

static struct err *parse_config(const char *text, size_t len, struct image_config *c)
{
	autoptr(json_object) o = NULL;
	struct json_object *run;

	TRY(parse_object(text, len, IMAGE_CONFIG_MAX_BYTES, &o));
	TRY(parse_platform(o, &c->platform));
	platform_normalize(&c->platform);
	TRY(field_string(o, "created", &c->created));
	TRY(field_object(o, "config", &run));
	TRY(parse_run_config(run, c));
	return parse_diff_ids(o, c);
}

struct err *image_config_parse(const char *text, size_t len, struct image_config *ret)
{
	autoval(image_config) c = {0};

	TRY(err_wrap(parse_config(text, len, &c), "image config"));
	*ret = c;
	c = (struct image_config){0};
	return NULL;
}

void image_chain_id(const struct strv *diff_ids, size_t n, char ret[static DIGEST_MAX])
{
	snprintf(ret, DIGEST_MAX, "%s", diff_ids->items[0]);
	for (size_t i = 1; i < n; i++) {
		autofree char *pair = xasprintf("%s %s", ret, diff_ids->items[i]);

		digest_of(pair, strlen(pair), ret);
	}
}
