// SPDX-License-Identifier: Apache-2.0
/* The names that an image gets. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "oci/image-names.h"
#include "transfer/transfer-internal.h"

struct naming {
	struct transfer *transfer;
	const struct scope *scope;
	const struct transfer_store *to;
	const struct descriptor *target;
	const struct transfer_progress *progress;
	size_t n;
};

/* A name besides the main one goes with it: it is collected once the main one is gone. */
static void extra_labels(const struct transfer_store *to, struct strmap *labels)
{
	char now[TIMESTAMP_TEXT];

	timestamp_format(timestamp_now(), now);
	strmap_set(labels, "containerd.io/gc.bref.image", to->name);
	strmap_set(labels, "containerd.io/gc.expire", now);
}

static struct err *put_image(struct naming *n, const struct image *i)
{
	struct meta *m = n->transfer->meta;

	for (;;) {
		autoval(image) stored = {0};
		struct err *e = images_create(m, n->scope, i, (struct timestamp){0}, &stored);

		if (!err_is(e, ERR_EXISTS))
			return e;
		err_free(e);
		e = images_update(m, n->scope, i, NULL, 0, (struct timestamp){0}, &stored);
		/* Removed in between: once more. */
		if (!err_is(e, ERR_NOT_FOUND))
			return e;
		err_free(e);
	}
}

static struct err *add_name(struct naming *n, const char *name, bool is_extra)
{
	autoval(image) i = {.name = xstrdup(name)};

	if (n->to->labels)
		strmap_copy(&i.labels, n->to->labels);
	if (is_extra && !str_empty(n->to->name))
		extra_labels(n->to, &i.labels);
	descriptor_copy(&i.target, n->target);
	TRY(err_wrap(put_image(n, &i), "image \"%s\"", name));
	n->n++;
	progress_emit(n->progress, "saved", name, n->target);
	return NULL;
}

static struct err *add_digest_name(struct naming *n, const char *prefix)
{
	autofree char *name = xasprintf("%s@%s", prefix, n->target->digest);

	return add_name(n, name, true);
}

/* The name that the image brings, when the prefix agrees with it. */
static char *own_name(const struct strmap *annotations, const struct transfer_reference *r)
{
	const char *full = strmap_get(annotations, NAME_ANNOTATION);
	const char *ref = strmap_get(annotations, REF_ANNOTATION);
	char *name;

	if (str_empty(r->name) || (str_empty(full) && str_empty(ref)))
		return NULL;
	if (str_empty(full))
		return image_ref_below(ref, r->name, !r->allow_overwrite);
	name = image_ref_below(full, r->name, !r->allow_overwrite);
	if (str_eq(name, full))
		return name;
	free(name);
	return NULL;
}

static struct err *names_by_annotations(struct naming *n)
{
	for (size_t i = 0; i < n->to->n_references; i++) {
		const struct transfer_reference *r = &n->to->references[i];
		autofree char *name = NULL;

		if (!r->is_prefix)
			continue;
		name = own_name(&n->target->annotations, r);
		if (name)
			TRY(add_name(n, name, true));
		if (r->add_digest && !(name && r->skip_named_digest))
			TRY(add_digest_name(n, r->name));
	}
	return NULL;
}

static struct err *names_asked_for(struct naming *n)
{
	if (!str_empty(n->to->name))
		TRY(add_name(n, n->to->name, false));
	for (size_t i = 0; i < n->to->n_references; i++) {
		const struct transfer_reference *r = &n->to->references[i];

		if (r->add_digest)
			TRY(add_digest_name(n, r->name));
		else if (!r->is_prefix)
			TRY(add_name(n, r->name, true));
	}
	return NULL;
}

struct err *store_names(struct transfer *t, const struct scope *s, const struct transfer_store *to,
	const struct descriptor *target, bool by_annotations,
	const struct transfer_progress *progress)
{
	struct naming n = {t, s, to, target, progress, 0};

	TRY(by_annotations ? names_by_annotations(&n) : names_asked_for(&n));
	return n.n ? NULL : err_new(ERR_NOT_FOUND, "no image name found: not found");
}
