// SPDX-License-Identifier: Apache-2.0
/*
 * One shim as the daemon holds it: its bundle, its program, the connection to it. Tasks and
 * sandboxes have one each; those of one pod may lead to the same process.
 */
#pragma once

#include <stdatomic.h>

#include "base/any.h"
#include "base/map.h"
#include "base/strv.h"
#include "base/thread.h"
#include "base/timestamp.h"
#include "event/loop.h"
#include "rpc/ttrpc.h"
#include "runtime/bootstrap.h"
#include "runtime/shim-log.h"

struct shim_options {
	const char *root, *state;	     /* the plugin's directories: work dirs, bundles */
	const char *address, *ttrpc_address; /* the daemon's sockets, for shims */
	const char *daemon_path;	     /* for -publish-binary */
	const char *version;		     /* for bootstrap parameters */
	const char *socket_dir;		     /* NULL: /run/containerd/s */
	const struct strv *shim_env;	     /* more environment, may be NULL */
	bool debug;
	int64_t load_timeout_ms, cleanup_timeout_ms, shutdown_timeout_ms; /* 0: the defaults */
};

struct process_exit {
	uint32_t pid, status;
	struct timestamp at;
};

/* Which file a runtime's name stands for, and of what generation the files are. */
struct shim_binaries {
	struct lock lock;
	struct map paths; /* binary name -> path, owned; guarded by lock */
	struct map kinds; /* path -> struct shim_kind, owned; guarded by lock */
};

/* What all shims of one plugin have in common. */
struct shim_host {
	struct loop *loop;
	struct shim_options options; /* strings owned */
	struct strv env;
	struct shim_binaries binaries;
};

/* Makes the directories. */
CHECKED struct err *shim_host_init(
	struct shim_host *h, struct loop *loop, const struct shim_options *options);
/* What was posted to the loop for its shims has run when this returns. */
void shim_host_settle(struct shim_host *h);
void shim_host_done(struct shim_host *h);

struct shim {
	struct shim_host *host;
	char *ns, *id;
	char *bundle, *binary; /* set while it is started, then constant; as are the next three */
	char *address;
	struct ttrpc_client *client;
	struct shim_log *log;
	atomic_int version; /* of its task API */
};

void shim_init(struct shim *s, struct shim_host *host, const char *ns, const char *id);
/* Nobody may be inside a call. */
void shim_done(struct shim *s);

/* --- coming up --- */

/* A directory that is there already is nobody's: the caller owns the name. */
CHECKED struct err *shim_make_bundle(struct shim *s, const struct any *spec);
/* Finds the program of `runtime`. */
CHECKED struct err *shim_resolve(struct shim *s, const char *runtime);
/* Runs the program for the bundle and connects. `lost` is called once, on the loop's thread, when
 * the shim hangs up by itself. */
CHECKED struct err *shim_start(struct shim *s, const struct any *options, struct cancel *cancel,
	void (*lost)(void *arg), void *arg);
/* Connects to a shim that runs; the bundle says where from now on. */
CHECKED struct err *shim_attach(
	struct shim *s, const struct bootstrap *b, void (*lost)(void *arg), void *arg);
/* After a restart of the daemon: as the bundle says. */
CHECKED struct err *shim_reattach(struct shim *s, void (*lost)(void *arg), void *arg);
/* After a start that failed: when a shim was left running all the same, connects to it. */
CHECKED struct err *shim_find_leftover(struct shim *s, void (*lost)(void *arg), void *arg);

/* --- being there --- */

/* "containerd.task.v3.Task" or v2, as it speaks. */
const char *shim_task_service(const struct shim *s);
/* One call of the task API in the version that it speaks. */
CHECKED struct err *shim_task_rpc(struct shim *s, const char *method, const void *request,
	const ProtobufCMessageDescriptor *reply, int64_t timeout_ms, struct cancel *cancel,
	struct arena *arena, void **ret);
bool err_is_closed(const struct err *e);

/* --- going --- */

/* The task API's Shutdown: one that still has tasks of its pod answers and stays. */
void shim_shut_down(struct shim *s);
/* Have the program clean up behind a shim that is gone. `pid` is told when it knows none. */
struct process_exit shim_clean_up(struct shim *s, uint32_t pid);
/* Close the connection and the log. */
void shim_disconnect(struct shim *s);
void shim_remove_bundle(struct shim *s);
/* The socket of a shim that was killed; one that others still serve stays. */
void shim_remove_socket(const struct shim *s);

/* --- all of them --- */

/* Calls `visit` for each directory below <state>/<ns> whose name is an identifier, after what
 * interrupted work left there was removed. */
void shim_each_bundle(struct shim_host *h,
	void (*visit)(void *arg, const char *ns, const char *id, const char *path), void *arg);
/* Removes the work directories of which `used` does not know. */
void shim_sweep_work(
	struct shim_host *h, bool (*used)(void *arg, const char *ns, const char *id), void *arg);
