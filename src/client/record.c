// SPDX-License-Identifier: Apache-2.0
#include "client/client-internal.h"

#include <stdlib.h>
#include <string.h>

/* All generated entry types of string maps have this shape. */
struct wire_entry {
	ProtobufCMessage base;
	char *key, *value;
};

struct record_head {
	_Alignas(16) struct arena *arena;
};

void *record_new(struct arena *arena, size_t size)
{
	struct record_head *head = arena_alloc(arena, sizeof(*head) + size);

	head->arena = arena;
	return head + 1;
}

void ctd_free(const void *record)
{
	if (record)
		arena_free(((const struct record_head *)record)[-1].arena);
}

struct ctd_time time_from_wire(const Google__Protobuf__Timestamp *t)
{
	struct timestamp ts = timestamp_from_wire(t);

	return (struct ctd_time){.sec = ts.sec, .nsec = ts.nsec};
}

static int compare_labels(const void *a, const void *b)
{
	return strcmp(((const struct ctd_label *)a)->key, ((const struct ctd_label *)b)->key);
}

struct ctd_labels labels_from_wire(size_t n, const void *entries, struct arena *arena)
{
	struct ctd_label *items = arena_array(arena, n, sizeof(*items));
	const struct wire_entry *const *from = entries;

	for (size_t i = 0; i < n; i++)
		items[i] = (struct ctd_label){from[i]->key, from[i]->value};
	if (n > 1)
		qsort(items, n, sizeof(*items), compare_labels);
	return (struct ctd_labels){.n = n, .items = items};
}

void *labels_to_wire(struct ctd_labels labels, size_t entry_size, void (*init)(void *entry),
	struct arena *arena, size_t *ret_n)
{
	struct wire_entry **entries = arena_array(arena, labels.n, sizeof(*entries));

	for (size_t i = 0; i < labels.n; i++) {
		entries[i] = arena_alloc(arena, entry_size);
		init(entries[i]);
		entries[i]->key = (char *)labels.items[i].key;
		entries[i]->value = (char *)labels.items[i].value;
	}
	*ret_n = labels.n;
	return entries;
}

struct ctd_labels labels_from_strmap(const struct strmap *m, struct arena *arena)
{
	struct ctd_label *items = arena_array(arena, m->n, sizeof(*items));

	for (size_t i = 0; i < m->n; i++)
		items[i] = (struct ctd_label){arena_strdup(arena, m->entries[i].key),
			arena_strdup(arena, m->entries[i].value)};
	return (struct ctd_labels){.n = m->n, .items = items};
}

const char *labels_get(struct ctd_labels labels, const char *key)
{
	for (size_t i = 0; i < labels.n; i++) {
		if (str_eq(labels.items[i].key, key))
			return labels.items[i].value;
	}
	return NULL;
}

struct ctd_descriptor descriptor_from_wire(const Types__Descriptor *d, struct arena *arena)
{
	if (!d)
		return (struct ctd_descriptor){.media_type = "", .digest = ""};
	return (struct ctd_descriptor){
		.media_type = d->media_type,
		.digest = d->digest,
		.size = d->size,
		.annotations = labels_from_wire(d->n_annotations, d->annotations, arena),
	};
}

Types__Descriptor *descriptor_to_wire(const struct ctd_descriptor *d, struct arena *arena)
{
	Types__Descriptor *wire = ARENA_NEW(arena, Types__Descriptor);

	types__descriptor__init(wire);
	wire->media_type = (char *)d->media_type;
	wire->digest = (char *)d->digest;
	wire->size = d->size;
	wire->annotations = LABELS_TO_WIRE(d->annotations, Types__Descriptor__AnnotationsEntry,
		types__descriptor__annotations_entry__init, arena, &wire->n_annotations);
	return wire;
}

struct ctd_strings strings_from_wire(size_t n, char *const *items)
{
	return (struct ctd_strings){.n = n, .items = (const char *const *)items};
}

struct ctd_mounts mounts_from_wire(size_t n, Types__Mount *const *mounts, struct arena *arena)
{
	struct ctd_mount *items = arena_array(arena, n, sizeof(*items));

	for (size_t i = 0; i < n; i++)
		items[i] = (struct ctd_mount){
			.type = mounts[i]->type,
			.source = mounts[i]->source,
			.target = mounts[i]->target,
			.options = strings_from_wire(mounts[i]->n_options, mounts[i]->options),
		};
	return (struct ctd_mounts){.n = n, .items = items};
}

Types__Mount **mounts_to_wire(struct ctd_mounts mounts, struct arena *arena)
{
	Types__Mount **wire = arena_array(arena, mounts.n, sizeof(*wire));

	for (size_t i = 0; i < mounts.n; i++) {
		wire[i] = ARENA_NEW(arena, Types__Mount);
		types__mount__init(wire[i]);
		wire[i]->type = (char *)mounts.items[i].type;
		wire[i]->source = (char *)mounts.items[i].source;
		wire[i]->target = (char *)mounts.items[i].target;
		wire[i]->n_options = mounts.items[i].options.n;
		wire[i]->options = (char **)mounts.items[i].options.items;
	}
	return wire;
}

Google__Protobuf__FieldMask *labels_mask(struct ctd_labels labels, struct arena *arena)
{
	Google__Protobuf__FieldMask *mask = ARENA_NEW(arena, Google__Protobuf__FieldMask);

	google__protobuf__field_mask__init(mask);
	mask->paths = arena_array(arena, labels.n, sizeof(char *));
	for (size_t i = 0; i < labels.n; i++)
		mask->paths[mask->n_paths++] =
			arena_printf(arena, "labels.%s", labels.items[i].key);
	return mask;
}

struct ctd_labels labels_set(struct ctd_labels labels, struct arena *arena)
{
	struct ctd_label *items = arena_array(arena, labels.n, sizeof(*items));
	size_t n = 0;

	for (size_t i = 0; i < labels.n; i++) {
		if (*labels.items[i].value)
			items[n++] = labels.items[i];
	}
	return (struct ctd_labels){.n = n, .items = items};
}
