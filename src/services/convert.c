// SPDX-License-Identifier: Apache-2.0
#include "services/convert.h"

#include <string.h>

#include "base/alloc.h"

struct err *call_scope(const struct rpc_call *call, struct scope *ret)
{
	ret->ns = rpc_namespace(call);
	ret->lease = rpc_lease(call);
	return scope_check(ret);
}

struct err *reply_empty(struct rpc_call *call)
{
	static const Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;

	return rpc_reply(call, &empty);
}

struct paths mask_paths(const Google__Protobuf__FieldMask *mask)
{
	if (!mask)
		return (struct paths){0};
	return (struct paths){mask->paths, mask->n_paths};
}

Types__Descriptor *descriptor_to_wire(const struct descriptor *d, struct arena *arena)
{
	Types__Descriptor *w = ARENA_NEW(arena, Types__Descriptor);

	types__descriptor__init(w);
	w->media_type = arena_strdup(arena, str_or(d->media_type, ""));
	w->digest = arena_strdup(arena, str_or(d->digest, ""));
	w->size = d->size;
	w->annotations = STRMAP_TO_WIRE(&d->annotations, Types__Descriptor__AnnotationsEntry,
		types__descriptor__annotations_entry__init, arena, &w->n_annotations);
	return w;
}

void descriptor_from_wire(struct descriptor *to, const Types__Descriptor *from)
{
	*to = DESCRIPTOR_INIT;
	if (!from)
		return;
	to->media_type = xstrdup(from->media_type);
	to->digest = xstrdup(from->digest);
	to->size = from->size;
	strmap_from_wire(&to->annotations, from->n_annotations, from->annotations);
}

Types__Mount **mounts_to_wire(const struct mounts *m, struct arena *arena, size_t *ret_n)
{
	Types__Mount **list = arena_array(arena, m->n, sizeof(*list));

	for (size_t i = 0; i < m->n; i++) {
		const struct mount *from = &m->items[i];
		Types__Mount *w = list[i] = ARENA_NEW(arena, Types__Mount);

		types__mount__init(w);
		w->type = arena_strdup(arena, str_or(from->type, ""));
		w->source = arena_strdup(arena, str_or(from->source, ""));
		w->target = arena_strdup(arena, str_or(from->target, ""));
		w->n_options = from->options.n;
		w->options = arena_array(arena, from->options.n, sizeof(char *));
		for (size_t k = 0; k < from->options.n; k++)
			w->options[k] = arena_strdup(arena, from->options.items[k]);
	}
	*ret_n = m->n;
	return list;
}

void mounts_from_wire(struct mounts *to, Types__Mount *const *from, size_t n)
{
	*to = MOUNTS_INIT;
	for (size_t i = 0; i < n; i++) {
		struct mount *m = mounts_add(to, from[i]->type, from[i]->source, from[i]->target);

		for (size_t k = 0; k < from[i]->n_options; k++)
			strv_add(&m->options, from[i]->options[k]);
	}
}

static void extensions_to_wire(
	const struct container *c, Containers__Container *w, struct arena *arena)
{
	w->n_extensions = c->extensions.n;
	w->extensions = arena_array(arena, c->extensions.n, sizeof(*w->extensions));
	for (size_t i = 0; i < c->extensions.n; i++) {
		Containers__Container__ExtensionsEntry *e =
			ARENA_NEW(arena, Containers__Container__ExtensionsEntry);

		containers__container__extensions_entry__init(e);
		e->key = c->extensions.items[i].name;
		e->value = any_to_wire(&c->extensions.items[i].value, arena);
		w->extensions[i] = e;
	}
}

Containers__Container *container_to_wire(const struct container *c, struct arena *arena)
{
	Containers__Container *w = ARENA_NEW(arena, Containers__Container);

	containers__container__init(w);
	w->id = c->id;
	w->labels = STRMAP_TO_WIRE(&c->labels, Containers__Container__LabelsEntry,
		containers__container__labels_entry__init, arena, &w->n_labels);
	w->image = (char *)str_or(c->image, "");
	w->runtime = ARENA_NEW(arena, Containers__Container__Runtime);
	containers__container__runtime__init(w->runtime);
	w->runtime->name = (char *)str_or(c->runtime, "");
	w->runtime->options = any_to_wire(&c->runtime_options, arena);
	w->spec = any_to_wire(&c->spec, arena);
	w->snapshotter = (char *)str_or(c->snapshotter, "");
	w->snapshot_key = (char *)str_or(c->snapshot_key, "");
	w->sandbox = (char *)str_or(c->sandbox, "");
	w->created_at = timestamp_to_wire(c->created_at, arena);
	w->updated_at = timestamp_to_wire(c->updated_at, arena);
	extensions_to_wire(c, w, arena);
	return w;
}

struct container *container_from_wire(const Containers__Container *w)
{
	struct container *c = container_new();

	if (!w)
		return c;
	c->id = xstrdup(w->id);
	strmap_from_wire(&c->labels, w->n_labels, w->labels);
	c->image = xstrdup(w->image);
	if (w->runtime) {
		c->runtime = xstrdup(w->runtime->name);
		any_from_wire(&c->runtime_options, w->runtime->options);
	}
	any_from_wire(&c->spec, w->spec);
	c->snapshotter = xstrdup(w->snapshotter);
	c->snapshot_key = xstrdup(w->snapshot_key);
	c->sandbox = xstrdup(w->sandbox);
	for (size_t i = 0; i < w->n_extensions; i++) {
		autoval(any) value = ANY_INIT;

		any_from_wire(&value, w->extensions[i]->value);
		extensions_set(&c->extensions, w->extensions[i]->key, &value);
	}
	return c;
}

Types__Sandbox *sandbox_to_wire(const struct sandbox *s, struct arena *arena)
{
	Types__Sandbox *w = ARENA_NEW(arena, Types__Sandbox);

	types__sandbox__init(w);
	w->sandbox_id = s->id;
	w->runtime = ARENA_NEW(arena, Types__Sandbox__Runtime);
	types__sandbox__runtime__init(w->runtime);
	w->runtime->name = (char *)str_or(s->runtime, "");
	w->runtime->options = any_to_wire(&s->runtime_options, arena);
	w->spec = any_to_wire(&s->spec, arena);
	w->sandboxer = (char *)str_or(s->sandboxer, "");
	w->labels = STRMAP_TO_WIRE(&s->labels, Types__Sandbox__LabelsEntry,
		types__sandbox__labels_entry__init, arena, &w->n_labels);
	w->created_at = timestamp_to_wire(s->created_at, arena);
	w->updated_at = timestamp_to_wire(s->updated_at, arena);
	w->n_extensions = s->extensions.n;
	w->extensions = arena_array(arena, s->extensions.n, sizeof(*w->extensions));
	for (size_t i = 0; i < s->extensions.n; i++) {
		Types__Sandbox__ExtensionsEntry *e =
			ARENA_NEW(arena, Types__Sandbox__ExtensionsEntry);

		types__sandbox__extensions_entry__init(e);
		e->key = s->extensions.items[i].name;
		e->value = any_to_wire(&s->extensions.items[i].value, arena);
		w->extensions[i] = e;
	}
	return w;
}

struct sandbox *sandbox_from_wire(const Types__Sandbox *w)
{
	struct sandbox *s = sandbox_new();

	if (!w)
		return s;
	s->id = xstrdup(w->sandbox_id);
	if (w->runtime) {
		s->runtime = xstrdup(w->runtime->name);
		any_from_wire(&s->runtime_options, w->runtime->options);
	}
	any_from_wire(&s->spec, w->spec);
	s->sandboxer = xstrdup(w->sandboxer);
	strmap_from_wire(&s->labels, w->n_labels, w->labels);
	for (size_t i = 0; i < w->n_extensions; i++) {
		autoval(any) value = ANY_INIT;

		any_from_wire(&value, w->extensions[i]->value);
		extensions_set(&s->extensions, w->extensions[i]->key, &value);
	}
	return s;
}

Images__Image *image_to_wire(const struct image *i, struct arena *arena)
{
	Images__Image *w = ARENA_NEW(arena, Images__Image);

	images__image__init(w);
	w->name = i->name;
	w->labels = STRMAP_TO_WIRE(&i->labels, Images__Image__LabelsEntry,
		images__image__labels_entry__init, arena, &w->n_labels);
	w->target = descriptor_to_wire(&i->target, arena);
	w->created_at = timestamp_to_wire(i->created_at, arena);
	w->updated_at = timestamp_to_wire(i->updated_at, arena);
	return w;
}

void image_from_wire(struct image *to, const Images__Image *from)
{
	*to = (struct image){0};
	if (!from)
		return;
	to->name = xstrdup(from->name);
	strmap_from_wire(&to->labels, from->n_labels, from->labels);
	descriptor_from_wire(&to->target, from->target);
}
