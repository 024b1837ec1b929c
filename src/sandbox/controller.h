// SPDX-License-Identifier: Apache-2.0
/*
 * Sandbox controllers: who makes the surroundings that the containers of a pod share, starts them
 * and takes them down. Records of sandboxes are meta/'s. All calls are from any thread but the
 * loop's, and may block, except where said.
 */
#pragma once

#include "base/thread.h"
#include "meta/sandboxes.h"
#include "oci/platform.h"
#include "sys/mount.h"

struct sandbox_create {
	const char *ns;
	const struct sandbox *sandbox; /* its id, runtime and spec */
	const struct mounts *rootfs;
	const struct any *options; /* the client's, of no meaning here */
	const char *netns_path;	   /* "" for none */
	const struct strmap *annotations;
};

struct sandbox_instance {
	uint32_t pid;
	struct timestamp created_at;
	struct any spec;
	char *address; /* where it serves the task API: "ttrpc+unix:///..." */
	uint32_t version;
};
void sandbox_instance_done(struct sandbox_instance *i);
DEFINE_AUTOVAL(sandbox_instance, sandbox_instance_done);

struct sandbox_status {
	uint32_t pid;
	char *state; /* "SANDBOX_READY", "SANDBOX_NOTREADY" */
	struct strmap info;
	struct timestamp created_at, exited_at;
	struct any extra;
	char *address;
	uint32_t version;
};
void sandbox_status_done(struct sandbox_status *s);
DEFINE_AUTOVAL(sandbox_status, sandbox_status_done);

struct sandbox_exit {
	uint32_t status;
	struct timestamp at;
};

struct sandbox_metric {
	char *id;
	struct timestamp at;
	struct any data;
};
void sandbox_metric_done(struct sandbox_metric *m);
DEFINE_AUTOVAL(sandbox_metric, sandbox_metric_done);

/* Exactly once, on the loop's thread; the exit or an error. */
typedef void (*sandbox_wait_fn)(void *arg, struct err *take_e, const struct sandbox_exit *exit);

struct sandbox_controller;
struct sandbox_wait;

struct sandbox_controller_ops {
	/* Leaves nothing when it fails. ERR_EXISTS when there is one of that id. */
	struct err *(*create)(struct sandbox_controller *c, const struct sandbox_create *request,
		struct cancel *cancel);
	/* A sandbox that cannot be started is taken down. */
	struct err *(*start)(struct sandbox_controller *c, const char *ns, const char *id,
		struct cancel *cancel, struct sandbox_instance *ret);
	struct err *(*platform)(struct sandbox_controller *c, const char *ns, const char *id,
		struct cancel *cancel, struct platform *ret);
	/* One that is not there has stopped. */
	struct err *(*stop)(struct sandbox_controller *c, const char *ns, const char *id,
		uint32_t timeout_s, struct cancel *cancel);
	/* Holds no thread; on the loop's, as is forget. NULL when `done` was called already. */
	struct sandbox_wait *(*wait)(struct sandbox_controller *c, const char *ns, const char *id,
		sandbox_wait_fn done, void *arg);
	/* `done` is called with ERR_CANCELLED; not after it was called. */
	void (*forget)(struct sandbox_controller *c, struct sandbox_wait *w);
	/* One that is not there has no state and has just ended. */
	struct err *(*status)(struct sandbox_controller *c, const char *ns, const char *id,
		bool verbose, struct cancel *cancel, struct sandbox_status *ret);
	/* Nothing is left of it. */
	struct err *(*shutdown)(struct sandbox_controller *c, const char *ns, const char *id,
		struct cancel *cancel);
	struct err *(*metrics)(struct sandbox_controller *c, const char *ns, const char *id,
		struct cancel *cancel, struct sandbox_metric *ret);
	/* The record has changed in these fields. */
	struct err *(*update)(struct sandbox_controller *c, const char *ns, const char *id,
		const struct sandbox *sandbox, char *const *fields, size_t n_fields,
		struct cancel *cancel);
};

/* First member of each implementation. */
struct sandbox_controller {
	const struct sandbox_controller_ops *ops;
};

/* The calls, as the slots say. */
CHECKED struct err *controller_create(
	struct sandbox_controller *c, const struct sandbox_create *request, struct cancel *cancel);
CHECKED struct err *controller_start(struct sandbox_controller *c, const char *ns, const char *id,
	struct cancel *cancel, struct sandbox_instance *ret);
CHECKED struct err *controller_platform(struct sandbox_controller *c, const char *ns,
	const char *id, struct cancel *cancel, struct platform *ret);
CHECKED struct err *controller_stop(struct sandbox_controller *c, const char *ns, const char *id,
	uint32_t timeout_s, struct cancel *cancel);
struct sandbox_wait *controller_wait(struct sandbox_controller *c, const char *ns, const char *id,
	sandbox_wait_fn done, void *arg);
void controller_forget(struct sandbox_controller *c, struct sandbox_wait *w);
CHECKED struct err *controller_status(struct sandbox_controller *c, const char *ns, const char *id,
	bool verbose, struct cancel *cancel, struct sandbox_status *ret);
CHECKED struct err *controller_shutdown(
	struct sandbox_controller *c, const char *ns, const char *id, struct cancel *cancel);
CHECKED struct err *controller_metrics(struct sandbox_controller *c, const char *ns, const char *id,
	struct cancel *cancel, struct sandbox_metric *ret);
CHECKED struct err *controller_update(struct sandbox_controller *c, const char *ns, const char *id,
	const struct sandbox *sandbox, char *const *fields, size_t n_fields, struct cancel *cancel);
