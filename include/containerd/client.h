// SPDX-License-Identifier: Apache-2.0
/*
 * libcontainerd: a client of containerd's gRPC API.
 *
 * Conventions of all headers in this folder:
 *
 * - Functions return NULL on success or an error that the caller frees with ctd_error_free().
 *   Results come last and are set only on success.
 * - A record or list that the library returns is one block of memory: everything it points to lives
 *   as long as it does, and ctd_free() frees it whole. Callers never allocate these types, so they
 *   may grow at their end in later versions.
 * - Option structures are the caller's. Their first member is their size (CTD_X_INIT sets it), so a
 *   program built against an older header keeps working. What they point to is borrowed for the
 *   time of the call.
 * - Strings are UTF-8. A NULL string in an option means "the default". Strings in records are never
 *   NULL.
 * - A client may be used from several threads at once. Calls block.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CTD_API __attribute__((visibility("default")))
#define CTD_CHECKED __attribute__((warn_unused_result))

/* --- errors --- */

/* The numbers are gRPC's. */
enum ctd_code {
	CTD_OK = 0,
	CTD_CANCELLED = 1,
	CTD_UNKNOWN = 2,
	CTD_INVALID_ARGUMENT = 3,
	CTD_DEADLINE_EXCEEDED = 4,
	CTD_NOT_FOUND = 5,
	CTD_ALREADY_EXISTS = 6,
	CTD_PERMISSION_DENIED = 7,
	CTD_RESOURCE_EXHAUSTED = 8,
	CTD_FAILED_PRECONDITION = 9,
	CTD_ABORTED = 10,
	CTD_OUT_OF_RANGE = 11,
	CTD_UNIMPLEMENTED = 12,
	CTD_INTERNAL = 13,
	CTD_UNAVAILABLE = 14,
	CTD_DATA_LOSS = 15,
	CTD_UNAUTHENTICATED = 16,
};

struct ctd_error;

CTD_API enum ctd_code ctd_error_code(const struct ctd_error *e); /* CTD_OK for NULL */
/* One line that names the object; "" for NULL. Errors of the daemon end in their class, such as
 * `image "x": not found`. */
CTD_API const char *ctd_error_message(const struct ctd_error *e);
CTD_API void ctd_error_free(struct ctd_error *e);

/* --- data that many calls share --- */

struct ctd_time {
	int64_t sec; /* since 1970, UTC */
	int32_t nsec;
};

struct ctd_label {
	const char *key, *value;
};

/* Sorted by key where the library returns them. */
struct ctd_labels {
	size_t n;
	const struct ctd_label *items;
};

struct ctd_strings {
	size_t n;
	const char *const *items;
};

struct ctd_descriptor {
	const char *media_type, *digest;
	int64_t size;
	struct ctd_labels annotations;
};

struct ctd_mount {
	const char *type, *source, *target;
	struct ctd_strings options;
};

struct ctd_mounts {
	size_t n;
	const struct ctd_mount *items;
};

/* Frees a record or list that the library returned. NULL is allowed. */
CTD_API void ctd_free(const void *record);

/* --- connections --- */

struct ctd_client;

struct ctd_client_options {
	size_t size;
	const char
		*address; /* path of the socket, "unix:///path" or "host:port"; NULL: the daemon's
				default, /run/containerd/containerd.sock */
	const char *namespace_name; /* NULL: "default" */
	int64_t connect_timeout_ms; /* how long to wait for a daemon that is not there yet; 0: not */
	int64_t timeout_ms;	    /* bound on all calls together, from connecting on; 0: none */
};

#define CTD_CLIENT_INIT ((struct ctd_client_options){.size = sizeof(struct ctd_client_options)})

/* CTD_UNAVAILABLE when no daemon answers at the address, CTD_PERMISSION_DENIED when the socket may
 * not be opened. `options` may be NULL. */
CTD_CHECKED CTD_API struct ctd_error *ctd_connect(
	const struct ctd_client_options *options, struct ctd_client **ret);
CTD_API void ctd_close(struct ctd_client *client); /* NULL is allowed */
CTD_API const char *ctd_namespace_name(const struct ctd_client *client);

struct ctd_version {
	const char *version, *revision;
};

CTD_CHECKED CTD_API struct ctd_error *ctd_server_version(
	struct ctd_client *client, struct ctd_version **ret);

#ifdef __cplusplus
}
#endif
