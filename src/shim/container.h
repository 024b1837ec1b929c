// SPDX-License-Identifier: Apache-2.0
/*
 * A container and its processes. All of it belongs to the loop's thread.
 *
 * What changes a process goes through its queue of operations: one at a time, in order, each ending
 * from the loop when the runtime's command is done; processes do not wait for each other. An exit
 * is recorded when it is reaped and told (event, waiters) when nothing that must be told before it
 * is outstanding: the start of the process, and for the init process the exits of all others.
 */
#pragma once

#include "base/list.h"
#include "shim/cgroup.h"
#include "shim/oom.h"
#include "shim/options.h"
#include "shim/runtime.h"
#include "shim/shim.h"
#include "shim/state.h"
#include "shim/stdio.h"

struct container;
struct op;

struct process {
	struct container *container;
	char *id; /* "" is the init process */
	struct stdio_spec spec;
	struct stdio_context stdio_context;
	struct stdio *stdio; /* NULL: not open */
	enum state state;
	bool pausing;
	bool starting; /* what tells its start is still to come */
	bool started;  /* counted among the running ones of its container */
	bool reaped, exit_told;
	pid_t pid; /* 0: not known */
	struct child_exit exit;
	char *spec_json;		      /* of an exec */
	char *checkpoint, *parent_checkpoint; /* of the init process; NULL: none */
	struct list ops;		      /* owned, the first is under way */
	struct list waiters;		      /* owned */
	bool op_running, pumping, doomed;
	struct op *until_exit; /* continues once the exit was told */
	void (*on_exit)(struct op *op);
	struct loop_timer *exit_timer;
};

struct container {
	struct shim *shim;
	char *id, *bundle;
	char *rootfs; /* NULL: nothing was mounted for it */
	struct options options;
	struct runtime runtime;
	struct process *init;  /* owned */
	struct map execs;      /* id -> struct process, owned */
	struct cgroup *cgroup; /* NULL: not known */
	struct oom_watch *oom;
	struct rest_kill *rest_kill; /* NULL: not needed up to now */
	unsigned running_execs;
	int stop_signal; /* that the end of the sandbox sent it; 0: none */
	bool made;	 /* the runtime's create succeeded */
	bool created;	 /* told; before, nobody sees it */
	bool own_pids;	 /* the death of the init process ends all others */
};

struct container *container_new(
	struct shim *s, const char *id, const char *bundle, const struct options *take_options);
/* Out of the shim's map; freed once the operations of its processes are over. */
void container_remove(struct container *c);
/* ERR_NOT_FOUND in containerd's words. */
CHECKED struct err *container_unknown(void);
CHECKED struct err *container_get(struct shim *s, const char *id, struct container **ret);
/* An empty exec id is the init process. */
CHECKED struct err *container_process(
	struct container *c, const char *exec_id, struct process **ret);

struct process *process_new(struct container *c, const char *id, const char *in, const char *out,
	const char *err, bool terminal);
bool process_is_init(const struct process *p);
/* No operation may be queued after this; freed when those that are have ended. */
void process_remove(struct process *p);
/* The runtime started it: from now on its exit is ours. */
void process_claim(struct process *p, pid_t pid, uint64_t mark);
/* Its start was told, or failed; tell its exit if that came meanwhile. */
void process_started(struct process *p);
/* It could not be started: whoever waits for it is answered. */
void process_failed(struct process *p);
/* Calls fn when the exit of the operation's process was told, or it is overdue; within this call when
 * it is not running. */
void process_until_exit(struct op *op, void (*fn)(struct op *op));
/* The answer of Wait: within this call, or parked. */
CHECKED struct err *process_wait(struct process *p, struct rpc_call *call);

/* --- operations --- */

struct op {
	struct list node;
	struct process *process;
	struct rpc_call *call; /* parked; finished by op_end() */
	void (*run)(struct op *op);
	void *state; /* of the operation, owned by it */
	void (*then)(struct op *op, struct err *take_e);
};

/* Parks the call; `run` is called when its turn comes, possibly now, and leads to op_end(). */
void op_submit(struct process *p, struct rpc_call *call, void (*run)(struct op *op));
/* Answers the call (a reply was given before, when NULL) and lets the next operation run. */
void op_end(struct op *op, struct err *take_e);
/* Answers with an empty message or the error. */
void op_end_empty(struct op *op, struct err *take_e);

/* --- events --- */

void event_send(struct process *p, const char *topic, const void *message);
