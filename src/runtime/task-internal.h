// SPDX-License-Identifier: Apache-2.0
/*
 * Inside the task manager. A task is in the manager's map from the moment its name is taken to the
 * moment nothing of it is left. Its state only moves forward; whoever moves it to ENDING (task_claim)
 * takes it down, alone. The manager's lock guards the map and what is marked below; it is held for
 * no longer than that takes.
 */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "base/ref.h"
#include "rpc/message.h"
#include "runtime/shim.h"
#include "runtime/task-manager.h"

/* The file of a bundle that names the sandbox whose shim the task is in. */
#define SANDBOX_FILE "sandbox"

struct task_manager {
	struct shim_host host;
	struct exchange *exchange;
	struct task_manager_options options; /* but for `shim`, which is the host's */
	struct pool *pool;		     /* loading, and taking down behind dead shims */
	struct lock lock;
	struct cond ended; /* a task has left the map */
	/* guarded by lock */
	struct map tasks; /* "ns/id" -> struct task, one reference each */
	bool stopping;
};

enum task_state { TASK_STARTING, TASK_LIVE, TASK_ENDING };

struct task {
	struct ref ref;
	struct task_manager *m;
	struct shim shim; /* set up while STARTING, then constant */
	bool sandboxed;	  /* the shim belongs to a sandbox: it is not ours to shut down */
	atomic_uint pid;  /* of the init process */
	/* guarded by m->lock */
	enum task_state state;
	bool creating;	   /* task_create() is not done with it and sees to what happens */
	bool lost;	   /* the shim hung up meanwhile */
	bool ended;	   /* nobody waits any more */
	struct list waits; /* of struct wait_group, owned */
};

/* --- task-manager.c --- */

char *task_key(const char *ns, const char *id);
struct task *task_ref(struct task *t);
void task_unref(struct task *t);
DEFINE_AUTOPTR(task, task_unref);
/* Take the name; ERR_EXISTS when it is taken. */
CHECKED struct err *task_reserve(
	struct task_manager *m, const char *ns, const char *id, struct task **ret);
/* ERR_NOT_FOUND "task <id> not found"; otherwise a reference. */
CHECKED struct err *task_find(
	struct task_manager *m, const char *ns, const char *id, struct task **ret);
/* True for the one that must now take the task down. */
bool task_claim(struct task *t);
/* Take the task out of the map: its name is free again. */
void task_leave(struct task *t);

CHECKED struct err *task_call_delete(struct task *t, const char *exec, int64_t timeout_ms,
	struct cancel *cancel, struct process_exit *ret);

/* A call of the task API for a task that exists: a shim that is gone is ERR_NOT_FOUND "task <id> not
 * found". */
CHECKED struct err *task_call(struct task *t, const char *method, const void *request,
	const ProtobufCMessageDescriptor *reply, int64_t timeout_ms, struct cancel *cancel,
	struct arena *arena, void **ret);

/* --- task-cleanup.c --- */

/* The shim hung up by itself; on the loop's thread. */
void task_shim_lost(void *task);
/* Clean up behind a shim that is gone or must go; the task is claimed. With `tell`, publishes
 * TaskExit and TaskDelete. */
void task_bury(struct task *t, bool tell);
/* Ask the shim to delete its task and to go, within bounds, whatever it answers; the task is
 * claimed. Removes the bundle. */
void task_abandon(struct task *t);
/* After a start that failed: as task_abandon() when a shim was left running all the same. */
void task_discard(struct task *t);
/* Shutdown, disconnect, remove the bundle, leave the map; the task is claimed. */
void task_take_down(struct task *t);

/* --- task-wait.c --- */

/* Answer all who still wait; exit is NULL when it is not known. Any thread. */
void task_waits_end(struct task *t, const struct process_exit *exit);
