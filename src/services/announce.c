// SPDX-License-Identifier: Apache-2.0
/* The metadata's changes as containerd's events, and the fields of events that filters can name. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "meta/containers.h"
#include "proto/events.pb-c.h"
#include "proto/images.pb-c.h"
#include "services/convert.h"
#include "services/services.h"

/* Fills `ret` with a message in the arena. */
typedef const void *(*encode_fn)(const struct change *c, struct arena *arena);

/* A message that has nothing but a name or id as its first string. */
#define ENCODE_ID(function, T, init, field)                                                        \
	static const void *function(const struct change *c, struct arena *arena)                   \
	{                                                                                          \
		T *m = ARENA_NEW(arena, T);                                                        \
                                                                                                   \
		init(m);                                                                           \
		m->field = arena_strdup(arena, c->id);                                             \
		return m;                                                                          \
	}

/* A message that has a name and labels. */
#define ENCODE_LABELS(function, T, prefix, field)                                                  \
	static const void *function(const struct change *c, struct arena *arena)                   \
	{                                                                                          \
		T *m = ARENA_NEW(arena, T);                                                        \
                                                                                                   \
		prefix##__init(m);                                                                 \
		m->field = arena_strdup(arena, c->id);                                             \
		if (c->labels)                                                                     \
			m->labels = STRMAP_TO_WIRE(c->labels, T##__LabelsEntry,                    \
				prefix##__labels_entry__init, arena, &m->n_labels);                \
		return m;                                                                          \
	}

ENCODE_LABELS(namespace_created, Events__NamespaceCreate, events__namespace_create, name)
ENCODE_LABELS(namespace_updated, Events__NamespaceUpdate, events__namespace_update, name)
ENCODE_ID(namespace_deleted, Events__NamespaceDelete, events__namespace_delete__init, name)
ENCODE_ID(container_deleted, Events__ContainerDelete, events__container_delete__init, id)
ENCODE_LABELS(image_created, Images__ImageCreate, images__image_create, name)
ENCODE_LABELS(image_updated, Images__ImageUpdate, images__image_update, name)
ENCODE_ID(image_deleted, Images__ImageDelete, images__image_delete__init, name)
ENCODE_ID(content_deleted, Events__ContentDelete, events__content_delete__init, digest)

static const void *container_created(const struct change *c, struct arena *arena)
{
	Events__ContainerCreate *m = ARENA_NEW(arena, Events__ContainerCreate);

	events__container_create__init(m);
	m->id = arena_strdup(arena, c->id);
	if (!c->container)
		return m;
	m->image = arena_strdup(arena, str_or(c->container->image, ""));
	m->runtime = ARENA_NEW(arena, Events__ContainerCreate__Runtime);
	events__container_create__runtime__init(m->runtime);
	m->runtime->name = arena_strdup(arena, str_or(c->container->runtime, ""));
	m->runtime->options = any_to_wire(&c->container->runtime_options, arena);
	return m;
}

static const void *container_updated(const struct change *c, struct arena *arena)
{
	Events__ContainerUpdate *m = ARENA_NEW(arena, Events__ContainerUpdate);

	events__container_update__init(m);
	m->id = arena_strdup(arena, c->id);
	if (!c->container)
		return m;
	m->image = arena_strdup(arena, str_or(c->container->image, ""));
	m->snapshot_key = arena_strdup(arena, str_or(c->container->snapshot_key, ""));
	m->labels = STRMAP_TO_WIRE(&c->container->labels, Events__ContainerUpdate__LabelsEntry,
		events__container_update__labels_entry__init, arena, &m->n_labels);
	return m;
}

static const void *content_created(const struct change *c, struct arena *arena)
{
	Events__ContentCreate *m = ARENA_NEW(arena, Events__ContentCreate);

	events__content_create__init(m);
	m->digest = arena_strdup(arena, c->id);
	m->size = c->size;
	return m;
}

static const void *snapshot_prepared(const struct change *c, struct arena *arena)
{
	Events__SnapshotPrepare *m = ARENA_NEW(arena, Events__SnapshotPrepare);

	events__snapshot_prepare__init(m);
	m->key = arena_strdup(arena, c->id);
	m->parent = arena_strdup(arena, str_or(c->parent, ""));
	m->snapshotter = arena_strdup(arena, str_or(c->snapshotter, ""));
	return m;
}

static const void *snapshot_committed(const struct change *c, struct arena *arena)
{
	Events__SnapshotCommit *m = ARENA_NEW(arena, Events__SnapshotCommit);

	events__snapshot_commit__init(m);
	m->key = arena_strdup(arena, c->id);
	m->name = arena_strdup(arena, str_or(c->parent, ""));
	m->snapshotter = arena_strdup(arena, str_or(c->snapshotter, ""));
	return m;
}

static const void *snapshot_removed(const struct change *c, struct arena *arena)
{
	Events__SnapshotRemove *m = ARENA_NEW(arena, Events__SnapshotRemove);

	events__snapshot_remove__init(m);
	m->key = arena_strdup(arena, c->id);
	m->snapshotter = arena_strdup(arena, str_or(c->snapshotter, ""));
	return m;
}

static const struct {
	const char *topic;
	encode_fn encode;
} encodings[] = {
	[CHANGE_NAMESPACE_CREATE] = {"/namespaces/create", namespace_created},
	[CHANGE_NAMESPACE_UPDATE] = {"/namespaces/update", namespace_updated},
	[CHANGE_NAMESPACE_DELETE] = {"/namespaces/delete", namespace_deleted},
	[CHANGE_CONTAINER_CREATE] = {"/containers/create", container_created},
	[CHANGE_CONTAINER_UPDATE] = {"/containers/update", container_updated},
	[CHANGE_CONTAINER_DELETE] = {"/containers/delete", container_deleted},
	[CHANGE_IMAGE_CREATE] = {"/images/create", image_created},
	[CHANGE_IMAGE_UPDATE] = {"/images/update", image_updated},
	[CHANGE_IMAGE_DELETE] = {"/images/delete", image_deleted},
	[CHANGE_CONTENT_CREATE] = {"/content/create", content_created},
	[CHANGE_CONTENT_DELETE] = {"/content/delete", content_deleted},
	[CHANGE_SNAPSHOT_PREPARE] = {"/snapshot/prepare", snapshot_prepared},
	[CHANGE_SNAPSHOT_COMMIT] = {"/snapshot/commit", snapshot_committed},
	[CHANGE_SNAPSHOT_REMOVE] = {"/snapshot/remove", snapshot_removed},
};

static void publish_change(const struct change *c, void *arg)
{
	struct services *svc = arg;
	autoptr(arena) arena = arena_new();
	const ProtobufCMessage *m = encodings[c->kind].encode(c, arena);
	autoval(any) payload = ANY_INIT;
	autoptr(err) e = NULL;
	size_t len;
	void *bytes = message_pack(m, arena, &len);

	any_set(&payload, m->descriptor->name, bytes, len);
	e = exchange_publish(svc->exchange, c->ns, encodings[c->kind].topic, &payload);
	if (e)
		log_error("event not published", "topic", encodings[c->kind].topic, "error",
			err_message(e));
}

/* --- fields of payloads --- */

/* Types whose fields filters may name; containerd leaves the sandbox events out. */
static const ProtobufCMessageDescriptor *const event_types[] = {
	&events__container_create__descriptor,
	&events__container_update__descriptor,
	&events__container_delete__descriptor,
	&events__content_create__descriptor,
	&events__content_delete__descriptor,
	&events__namespace_create__descriptor,
	&events__namespace_update__descriptor,
	&events__namespace_delete__descriptor,
	&events__snapshot_prepare__descriptor,
	&events__snapshot_commit__descriptor,
	&events__snapshot_remove__descriptor,
	&events__task_create__descriptor,
	&events__task_start__descriptor,
	&events__task_delete__descriptor,
	&events__task_exit__descriptor,
	&events__task_oom__descriptor,
	&events__task_exec_added__descriptor,
	&events__task_exec_started__descriptor,
	&events__task_paused__descriptor,
	&events__task_resumed__descriptor,
	&events__task_checkpointed__descriptor,
	&images__image_create__descriptor,
	&images__image_update__descriptor,
	&images__image_delete__descriptor,
};

static const void *member(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	return (const char *)m + f->offset;
}

/* The value of map field `f` under the rest of the path, joined by dots. */
static const char *map_value(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
	char *const *path, size_t n_path)
{
	size_t n = *(const size_t *)(const void *)((const char *)m + f->quantifier_offset);
	ProtobufCMessage *const *entries = *(ProtobufCMessage *const *const *)member(m, f);
	autoval(strv) key = STRV_INIT;
	autofree char *joined = NULL;

	for (size_t i = 0; i < n_path; i++)
		strv_add(&key, path[i]);
	joined = strv_join(&key, ".");
	for (size_t i = 0; i < n; i++) {
		const ProtobufCFieldDescriptor *fields = entries[i]->descriptor->fields;

		if (str_eq(*(char *const *)member(entries[i], &fields[0]), joined))
			return *(char *const *)member(entries[i], &fields[1]);
	}
	return NULL;
}

static const char *field_value(const ProtobufCMessage *m, char *const *path, size_t n_path)
{
	const ProtobufCFieldDescriptor *f =
		n_path ? protobuf_c_message_descriptor_get_field_by_name(m->descriptor, path[0])
		       : NULL;

	if (!f)
		return NULL;
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		if (f->type != PROTOBUF_C_TYPE_MESSAGE || !str_eq(f->name, "labels"))
			return NULL;
		return map_value(m, f, path + 1, n_path - 1);
	}
	if (f->type == PROTOBUF_C_TYPE_STRING)
		return *(char *const *)member(m, f);
	if (f->type == PROTOBUF_C_TYPE_BOOL)
		return *(const protobuf_c_boolean *)member(m, f) ? "true" : "false";
	if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
		const ProtobufCMessage *inner = *(ProtobufCMessage *const *)member(m, f);

		return inner ? field_value(inner, path + 1, n_path - 1) : NULL;
	}
	return NULL;
}

static const char *payload_field(const struct any *payload, char *const *path, size_t n_path,
	char *scratch, size_t scratch_len)
{
	autoptr(arena) arena = arena_new();
	const char *value = NULL;
	void *m;

	for (size_t i = 0; i < ARRAY_LEN(event_types); i++) {
		autoptr(err) e = NULL;

		if (!str_eq(payload->type_url, event_types[i]->name))
			continue;
		e = message_unpack(event_types[i], payload->value, payload->len, arena, &m);
		if (!e)
			value = field_value(m, path, n_path);
		break;
	}
	if (!value)
		return NULL;
	snprintf(scratch, scratch_len, "%s", value);
	return scratch;
}

void services_announce(struct services *s)
{
	meta_set_observer(s->meta, publish_change, s);
	exchange_set_fields(s->exchange, payload_field);
}
