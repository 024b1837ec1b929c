// SPDX-License-Identifier: Apache-2.0
/* Between messages and domain types. What a message points at lives in the arena or in the domain
 * object it was made from. */
#pragma once

#include "meta/containers.h"
#include "meta/images.h"
#include "meta/sandboxes.h"
#include "proto/containers.pb-c.h"
#include "proto/images.pb-c.h"
#include "proto/types.pb-c.h"
#include "google/protobuf/empty.pb-c.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "rpc/message.h"
#include "rpc/rpc.h"
#include "sys/mount.h"

/* Who asks; checked. Both strings live as long as the call. */
CHECKED struct err *call_scope(const struct rpc_call *call, struct scope *ret);
CHECKED struct err *reply_empty(struct rpc_call *call);

/* Field paths of an update; none for a NULL mask. */
struct paths {
	char *const *items;
	size_t n;
};
struct paths mask_paths(const Google__Protobuf__FieldMask *mask);

Types__Descriptor *descriptor_to_wire(const struct descriptor *d, struct arena *arena);
void descriptor_from_wire(struct descriptor *to, const Types__Descriptor *from); /* NULL: empty */
Types__Mount **mounts_to_wire(const struct mounts *m, struct arena *arena, size_t *ret_n);
void mounts_from_wire(struct mounts *to, Types__Mount *const *from, size_t n);
Containers__Container *container_to_wire(const struct container *c, struct arena *arena);
struct container *container_from_wire(const Containers__Container *w);
Types__Sandbox *sandbox_to_wire(const struct sandbox *s, struct arena *arena);
struct sandbox *sandbox_from_wire(const Types__Sandbox *w); /* NULL: empty */
Images__Image *image_to_wire(const struct image *i, struct arena *arena);
void image_from_wire(struct image *to, const Images__Image *from);
