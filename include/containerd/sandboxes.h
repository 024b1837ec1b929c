// SPDX-License-Identifier: Apache-2.0
/* Sandboxes: what the containers of a pod share, and who looks after it. See containerd/client.h for
 * the conventions. */
#pragma once

#include <containerd/client.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ctd_sandbox {
	const char *id;
	struct ctd_labels labels;
	const char *runtime;
	const char *runtime_options_type; /* "" for none */
	const void *runtime_options;
	size_t runtime_options_len;
	const char *spec; /* JSON, "" for none */
	const char *spec_type;
	const char *sandboxer; /* the controller that it belongs to */
	struct ctd_time created_at, updated_at;
	struct ctd_strings extensions; /* their names */
};

struct ctd_sandboxes {
	size_t n;
	const struct ctd_sandbox *const *items;
};

CTD_CHECKED CTD_API struct ctd_error *ctd_sandbox_list(struct ctd_client *client,
	const char *const *filters, size_t n_filters, struct ctd_sandboxes **ret);
CTD_CHECKED CTD_API struct ctd_error *ctd_sandbox_get(
	struct ctd_client *client, const char *id, struct ctd_sandbox **ret);

struct ctd_sandbox_options {
	size_t size;
	const char *id;
	const char *runtime;   /* NULL: io.containerd.runc.v2 */
	const char *spec;      /* JSON of a runtime spec; NULL: none */
	const char *sandboxer; /* NULL: the namespace's default */
	const char *netns;     /* path of a network namespace to keep; NULL: none */
	struct ctd_labels labels;
};

#define CTD_SANDBOX_INIT ((struct ctd_sandbox_options){.size = sizeof(struct ctd_sandbox_options)})

/* The record, and the sandbox itself, which is still to be started. Leaves nothing when it fails. */
CTD_CHECKED CTD_API struct ctd_error *ctd_sandbox_create(struct ctd_client *client,
	const struct ctd_sandbox_options *options, struct ctd_sandbox **ret);
/* *ret_pid (may be NULL) is the process that is the sandbox. */
CTD_CHECKED CTD_API struct ctd_error *ctd_sandbox_start(
	struct ctd_client *client, const struct ctd_sandbox *sandbox, uint32_t *ret_pid);
/* Ends what runs in it; with a timeout, politely first. */
CTD_CHECKED CTD_API struct ctd_error *ctd_sandbox_stop(
	struct ctd_client *client, const struct ctd_sandbox *sandbox, uint32_t timeout_s);
/* Removes the sandbox and its record. */
CTD_CHECKED CTD_API struct ctd_error *ctd_sandbox_shutdown(
	struct ctd_client *client, const struct ctd_sandbox *sandbox);

struct ctd_sandbox_exit {
	uint32_t status;
	struct ctd_time at;
};

/* Blocks until it has stopped. */
CTD_CHECKED CTD_API struct ctd_error *ctd_sandbox_wait(
	struct ctd_client *client, const struct ctd_sandbox *sandbox, struct ctd_sandbox_exit *ret);

struct ctd_sandbox_status {
	uint32_t pid;
	const char *state; /* "SANDBOX_READY", "SANDBOX_NOTREADY", "" when there is none */
	struct ctd_time created_at, exited_at;
};

CTD_CHECKED CTD_API struct ctd_error *ctd_sandbox_get_status(struct ctd_client *client,
	const struct ctd_sandbox *sandbox, struct ctd_sandbox_status **ret);

#ifdef __cplusplus
}
#endif
