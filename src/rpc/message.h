// SPDX-License-Identifier: Apache-2.0
/*
 * Protobuf messages: packing, checked unpacking, and the well-known types. protobuf-c accepts
 * invalid UTF-8 and embedded NULs, so every message from a peer goes through message_unpack().
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/any.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/strmap.h"
#include "base/strv.h"
#include "base/timestamp.h"
#include "google/protobuf/any.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"

/* Unpack into the arena and check: well formed, strings valid UTF-8 without NUL, nesting at most
 * 32. ERR_INVALID names the message type. */
CHECKED struct err *message_unpack(const ProtobufCMessageDescriptor *type, const void *data,
	size_t len, struct arena *arena, void **ret);
size_t message_size(const void *message);
/* The bytes of a message, in the arena. */
void *message_pack(const void *message, struct arena *arena, size_t *ret_len);

/* An Any that holds the message under its bare full name ("containerd.events.TaskExit", without
 * "type.googleapis.com/"), all in the arena. */
Google__Protobuf__Any *message_to_any(const void *message, struct arena *arena);
/* The message inside when its type is `type`; ERR_INVALID otherwise. A "type.googleapis.com/" or
 * other prefix up to the last slash is ignored. */
CHECKED struct err *message_from_any(const Google__Protobuf__Any *any,
	const ProtobufCMessageDescriptor *type, struct arena *arena, void **ret);
bool any_is(const Google__Protobuf__Any *any, const char *full_name);

/* Between wire and domain. Messages made point into the arena or, where said, into the source. */
Google__Protobuf__Any *any_to_wire(const struct any *a, struct arena *arena); /* NULL for absent;
	the value is borrowed from `a` */
void any_from_wire(struct any *to, const Google__Protobuf__Any *from); /* copies; NULL: absent */
/* A zero time is Go's on the wire, and the other way round; so is NULL. */
Google__Protobuf__Timestamp *timestamp_to_wire(struct timestamp t, struct arena *arena);
struct timestamp timestamp_from_wire(const Google__Protobuf__Timestamp *t);

/* map<string,string> fields: every generated entry type has key and value as its members after the
 * base, so one pair of functions serves all. `init` is the entry type's init function. The strings
 * are borrowed from the map. */
void *strmap_to_wire(const struct strmap *m, size_t entry_size, void (*init)(void *entry),
	struct arena *arena, size_t *ret_n);
void strmap_from_wire(struct strmap *m, size_t n, void *entries);
/* *ret_n and the field from a strmap, for any generated map-entry type T with prefix p:
 *     reply->labels = STRMAP_TO_WIRE(&c->labels, Containers__Container__LabelsEntry,
 *             containers__container__labels_entry__init, arena, &reply->n_labels); */
#define STRMAP_TO_WIRE(m, T, init, arena, ret_n)                                                   \
	((T **)strmap_to_wire((m), sizeof(T), (void (*)(void *))(init), (arena), (ret_n)))
