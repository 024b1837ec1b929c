// SPDX-License-Identifier: Apache-2.0
#include "oci/image-names.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/strv.h"
#include "oci/reference.h"

char *image_ref_name(const char *name)
{
	const char *slash = strrchr(name, '/');
	const char *at = strpbrk(slash ? slash : name, ":@");

	if (!at)
		return xstrdup(name);
	return xstrdup(*at == ':' ? at + 1 : at);
}

struct err *image_full_name(const char *text, char **ret)
{
	autoval(reference) r = REFERENCE_INIT;

	TRY(err_wrap(reference_parse_short(text, &r), "normalize image ref \"%s\"", text));
	*ret = reference_format(&r);
	return NULL;
}

struct err *image_short_name(const char *name, char **ret)
{
	static const char hub[] = "docker.io/", library[] = "library/";
	autofree char *full = NULL;
	const char *at;

	TRY(image_full_name(name, &full));
	at = full;
	if (str_starts(at, hub)) {
		at += strlen(hub);
		if (str_starts(at, library) && !strchr(at + strlen(library), '/'))
			at += strlen(library);
	}
	*ret = xstrdup(at);
	return NULL;
}

static bool has_prefix(const char *name, const char *prefix)
{
	size_t len = strlen(prefix);

	/* Not "foo/bar" for "foo/barrel". */
	return str_starts(name, prefix) && (!name[len] || strchr("/:@", name[len]));
}

char *image_ref_below(const char *ref, const char *base, bool only_base)
{
	if (!strpbrk(ref, "/:@"))
		return xasprintf("%s:%s", base, ref);
	if (only_base && !has_prefix(ref, base))
		return NULL;
	return xstrdup(ref);
}

char *image_entry_name(const struct strmap *annotations, const char *base, bool only_base)
{
	const char *name = strmap_get(annotations, NAME_ANNOTATION);

	if (!str_empty(name))
		return xstrdup(name);
	name = strmap_get(annotations, REF_ANNOTATION);
	return str_empty(name) ? NULL : image_ref_below(name, base, only_base);
}

char *image_clean_path(const char *path)
{
	autoval(strv) in = STRV_INIT, out = STRV_INIT;

	strv_split(&in, path, '/');
	for (size_t i = 0; i < in.n; i++) {
		const char *part = in.items[i];

		if (!*part || strcmp(part, ".") == 0)
			continue;
		if (strcmp(part, "..") != 0)
			strv_add(&out, part);
		else if (out.n > 0)
			strv_remove_at(&out, out.n - 1);
	}
	return strv_join(&out, "/");
}

char *image_blob_digest(const char *path)
{
	static const char prefix[] = "blobs/";
	const char *slash;

	if (!str_starts(path, prefix))
		return NULL;
	path += strlen(prefix);
	slash = strchr(path, '/');
	if (!slash || strlen(path) >= DIGEST_MAX)
		return NULL;
	autofree char *digest = xasprintf("%.*s:%s", (int)(slash - path), path, slash + 1);
	return digest_valid(digest) ? TAKE(digest) : NULL;
}
