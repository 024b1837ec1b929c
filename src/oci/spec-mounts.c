// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "base/alloc.h"
#include "oci/spec-internal.h"

void spec_add_mount(struct json_object *spec, const char *type, const char *source,
	const char *destination, const struct strv *options)
{
	struct json_object *mount = json_object_new_object();

	spec_put_string(mount, "destination", destination);
	if (!str_empty(type))
		spec_put_string(mount, "type", type);
	if (!str_empty(source))
		spec_put_string(mount, "source", source);
	if (options && options->n)
		json_object_object_add(mount, "options", spec_strings(options));
	json_object_array_add(spec_array(spec, "mounts"), mount);
}

/* The next comma-separated field, as encoding/csv has it: one that starts with '"' goes to the next
 * single '"', and '""' in it is one. NULL at a quote that is not closed. */
static char *next_field(const char **text)
{
	const char *at = *text;
	autofree char *field = xmalloc(strlen(at) + 1);
	bool quoted = *at == '"';
	size_t len = 0;

	for (at += quoted; *at && (quoted || *at != ','); at++) {
		if (quoted && *at == '"' && *++at != '"')
			break;
		field[len++] = *at;
	}
	if (quoted && (at[-1] != '"' || (*at && *at != ',')))
		return NULL;
	field[len] = '\0';
	*text = at;
	return TAKE(field);
}

struct mount_text {
	char *type, *source, *destination;
	struct strv options;
};

static void mount_text_done(struct mount_text *m)
{
	free(m->type);
	free(m->source);
	free(m->destination);
	strv_done(&m->options);
}
DEFINE_AUTOVAL(mount_text, mount_text_done);

static void replace(char **s, const char *with)
{
	free(*s);
	*s = xstrdup(with);
}

static struct err *read_field(const char *field, struct mount_text *m)
{
	const char *equals = strchr(field, '=');
	autofree char *key = NULL;

	if (!equals)
		return err_new(ERR_INVALID, "invalid mount specification: expected key=val");
	key = xstrndup(field, (size_t)(equals - field));
	if (strcmp(key, "type") == 0)
		replace(&m->type, equals + 1);
	else if (strcmp(key, "source") == 0 || strcmp(key, "src") == 0)
		replace(&m->source, equals + 1);
	else if (strcmp(key, "destination") == 0 || strcmp(key, "dst") == 0)
		replace(&m->destination, equals + 1);
	else if (strcmp(key, "options") == 0)
		strv_split(&m->options, equals + 1, ':');
	else
		return err_new(ERR_INVALID, "mount option \"%s\" not supported", key);
	return NULL;
}

struct err *spec_add_mount_text(struct json_object *spec, const char *text)
{
	autoval(mount_text) m = {0};

	for (const char *at = text;; at++) {
		autofree char *field = next_field(&at);

		if (!field)
			return err_new(ERR_INVALID,
				"invalid mount specification: \"%s\": bad quoting", text);
		TRY(read_field(field, &m));
		if (!*at)
			break;
	}
	if (str_empty(m.destination))
		return err_new(
			ERR_INVALID, "invalid mount specification: \"%s\": no destination", text);
	spec_add_mount(spec, m.type, m.source, m.destination, &m.options);
	return NULL;
}

/* "/dev/shm/" and "/dev//shm" are the same place as "/dev/shm". */
static bool same_path(const char *a, const char *b)
{
	for (;;) {
		a += strspn(a, "/");
		b += strspn(b, "/");
		size_t n = strcspn(a, "/");

		if (n != strcspn(b, "/") || strncmp(a, b, n) != 0)
			return false;
		if (!n)
			return true;
		a += n;
		b += n;
	}
}

void spec_remove_mounts(struct json_object *spec, const char *destination)
{
	struct json_object *mounts = spec_array(spec, "mounts");

	for (size_t i = json_object_array_length(mounts); i-- > 0;) {
		const char *at =
			json_find_string(json_object_array_get_idx(mounts, i), "destination");

		if (at && same_path(at, destination))
			spec_array_remove(mounts, i);
	}
}
