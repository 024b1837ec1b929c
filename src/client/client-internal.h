// SPDX-License-Identifier: Apache-2.0
/*
 * What the files of the client library share. The library's public error is base's `struct err`
 * under its public name: inside, functions return it as everywhere else.
 */
#pragma once

#define ctd_error err

#include <containerd/client.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/strmap.h"
#include "base/strv.h"
#include "base/thread.h"
#include "base/timestamp.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "google/protobuf/empty.pb-c.h"
#include "proto/types.pb-c.h"
#include "rpc/grpc.h"
#include "rpc/message.h"

#define ADDRESS_DEFAULT "/run/containerd/containerd.sock"
#define SNAPSHOTTER_DEFAULT "overlayfs"
#define RUNTIME_DEFAULT "io.containerd.runc.v2"
#define BLOB_JSON_MAX ((size_t)8 << 20) /* manifests, indexes, configs */

struct ctd_client {
	struct grpc_client *grpc;
	char *ns;
	int64_t deadline_ms; /* monotonic, -1: none */
	struct lock lock;
	char *snapshotter; /* the namespace's default, once known; guarded by lock */
	struct grpc_stream
		*parting; /* a call nobody waits for before ctd_close(); guarded by lock */
};

/* On whose behalf a call is made: a lease keeps what it creates. */
struct scope {
	struct ctd_client *client;
	const char *lease;     /* NULL: none */
	struct cancel *cancel; /* NULL: never */
};

#define SCOPE(c) (&(struct scope){.client = (c)})

/* --- calls (call.c) --- */

/* Metadata of one call. Points into itself: use where it stands. */
struct call_context {
	struct rpc_metadata metadata[2];
	struct rpc_context rpc;
};

/* ERR_DEADLINE when the client's time is over. */
CHECKED struct err *call_context_init(struct call_context *ctx, const struct scope *s);
/* One unary call; ret is the address of a pointer to the reply, which is in the arena. */
CHECKED struct err *call(const struct scope *s, const char *path, const void *request,
	const ProtobufCMessageDescriptor *reply, struct arena *arena, void *ret);
/* As call() for replies that say nothing. */
CHECKED struct err *call_void(const struct scope *s, const char *path, const void *request);
/* A unary call that is under way: finish it with call_finish(), which also frees it. */
CHECKED struct err *call_start(const struct scope *s, const char *path, const void *request,
	const ProtobufCMessageDescriptor *reply, struct grpc_stream **ret);
CHECKED struct err *call_finish(struct grpc_stream *take_s, struct arena *arena, void *ret);
/* A call with several messages either way. Its errors are the caller's to pass to call_error(). */
CHECKED struct err *call_stream(const struct scope *s, const char *path,
	const ProtobufCMessageDescriptor *reply, struct grpc_stream **ret);
/* Gives an error of the daemon the words that Go clients show: "...: not found". */
CHECKED struct err *call_error(struct err *take_e);

/* --- records (record.c) --- */

/* Zeroed memory at the head of an arena that ctd_free() frees with it. */
void *record_new(struct arena *arena, size_t size) __attribute__((returns_nonnull));
struct ctd_time time_from_wire(const Google__Protobuf__Timestamp *t);
/* `entries` is the array of any generated map entry type with string keys and values. The strings
 * stay where they are. */
struct ctd_labels labels_from_wire(size_t n, const void *entries, struct arena *arena);
/* In the arena, the strings borrowed. */
void *labels_to_wire(struct ctd_labels labels, size_t entry_size, void (*init)(void *entry),
	struct arena *arena, size_t *ret_n);
#define LABELS_TO_WIRE(l, T, init, arena, ret_n)                                                   \
	((T **)labels_to_wire((l), sizeof(T), (void (*)(void *))(init), (arena), (ret_n)))
struct ctd_labels labels_from_strmap(const struct strmap *m, struct arena *arena);
const char *labels_get(struct ctd_labels labels, const char *key);
struct ctd_descriptor descriptor_from_wire(const Types__Descriptor *d, struct arena *arena);
Types__Descriptor *descriptor_to_wire(const struct ctd_descriptor *d, struct arena *arena);
struct ctd_mounts mounts_from_wire(size_t n, Types__Mount *const *mounts, struct arena *arena);
Types__Mount **mounts_to_wire(struct ctd_mounts mounts, struct arena *arena);
struct ctd_strings strings_from_wire(size_t n, char *const *items);
/* "labels.<key>" for each label. */
Google__Protobuf__FieldMask *labels_mask(struct ctd_labels labels, struct arena *arena);
/* The labels whose value is not empty: what an update writes. */
struct ctd_labels labels_set(struct ctd_labels labels, struct arena *arena);

/* --- shared between the files --- */

/* The snapshotter to use for NULL and "": the namespace's default label, else overlayfs. The text
 * lives as long as the client. */
CHECKED struct err *default_snapshotter(struct ctd_client *c, const char *name, const char **ret);
/* Ask for it while something else is under way; the reply goes to default_snapshotter_take(). */
CHECKED struct err *default_snapshotter_ask(struct ctd_client *c, struct grpc_stream **ret);
CHECKED struct err *default_snapshotter_take(struct ctd_client *c, struct grpc_stream *take_s);

/* Takes a call whose answer is of no interest. It has ended once the client is closed. */
void client_part(struct ctd_client *c, struct grpc_stream *take_s);

/* A lease of a day that ends with the scope; nobody waits for that but ctd_close(). */
struct temporary_lease {
	struct ctd_client *client;
	char *id;
};
CHECKED struct err *temporary_lease_new(struct ctd_client *c, struct temporary_lease *ret);
void temporary_lease_done(struct temporary_lease *l);
DEFINE_AUTOVAL(temporary_lease, temporary_lease_done);

/* A blob of at most max bytes, NUL-terminated, in the arena. */
CHECKED struct err *content_load(const struct scope *s, const char *digest, size_t max,
	struct arena *arena, char **ret, size_t *ret_len);
