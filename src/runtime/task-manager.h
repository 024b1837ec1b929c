// SPDX-License-Identifier: Apache-2.0
/*
 * Tasks: containers that run, each under a shim of its own or its pod's. The manager makes bundles,
 * starts shims (ours or foreign ones, see containerd's core/runtime/v2/README.md), calls them by
 * ttrpc (task API v2 and v3), finds them again after a restart and cleans up behind dead ones.
 *
 * A shim that hangs costs the calls to it their deadline, never another task. The daemon's end
 * leaves shims and containers running.
 */
#pragma once

#include "base/strmap.h"
#include "events/exchange.h"
#include "runtime/shim.h"
#include "sys/mount.h"

struct task_manager;

struct task_manager_options {
	struct shim_options shim;
	int64_t state_timeout_ms; /* 0: the default */
	/* The runtime's name of a container when a bundle does not say; may be NULL. Caller of the
	 * function frees. */
	char *(*container_runtime)(const char *ns, const char *id, void *arg);
	/* Where the shim of a sandbox is; `ret` stays empty when there is no record of the sandbox. May
	 * be NULL. */
	struct err *(*sandbox_shim)(
		const char *ns, const char *sandbox, struct bootstrap *ret, void *arg);
	void *arg;
};

CHECKED struct err *task_manager_new(struct loop *loop, struct exchange *exchange,
	const struct task_manager_options *options, struct task_manager **ret);
/* Lets go of all shims without touching them. Not on the loop's thread; with the loop running, or
 * after it has ended for good. */
void task_manager_free(struct task_manager *m);
DEFINE_AUTOPTR(task_manager, task_manager_free);
/* Find the shims of an earlier run again, in parallel, each within load_timeout; clean up behind
 * those that are gone (TaskExit and TaskDelete are published). Before serving. */
CHECKED struct err *task_manager_load(struct task_manager *m);

enum task_status {
	TASK_UNKNOWN = 0,
	TASK_CREATED = 1,
	TASK_RUNNING = 2,
	TASK_STOPPED = 3,
	TASK_PAUSED = 4,
	TASK_PAUSING = 5,
};

/* A process of a task: the init process (exec_id "") or an exec. */
struct process_info {
	char *container_id, *exec_id;
	uint32_t pid;
	enum task_status status;
	char *stdin_path, *stdout_path, *stderr_path;
	bool terminal;
	uint32_t exit_status;
	struct timestamp exited_at;
};
void process_info_done(struct process_info *p);
DEFINE_AUTOVAL(process_info, process_info_done);

struct process_list {
	struct process_info *items;
	size_t n, cap;
};
void process_list_done(struct process_list *l);
DEFINE_AUTOVAL(process_list, process_list_done);

struct task_io {
	const char *stdin_path, *stdout_path, *stderr_path;
	bool terminal;
};

struct task_create {
	const char *ns, *id;
	const char *runtime;	   /* "io.containerd.runc.v2" or an absolute path */
	const struct any *spec;	   /* config.json as the client gave it */
	const struct any *options; /* runtime options, may be absent */
	const struct mounts *rootfs;
	struct task_io io;
	const char *checkpoint; /* path of an unpacked checkpoint image, may be NULL */
	const char *sandbox;	/* may be NULL */
	/* Where the sandbox serves the task API, "ttrpc+unix://...", as its controller told the client;
	 * NULL: where the daemon knows its shim. */
	const char *task_api_address;
	uint32_t task_api_version;
};

/* All of these: ERR_NOT_FOUND "task <id> not found" / "process <exec> ...", and otherwise the shim's
 * own class and text, whole. `exec` NULL or "" is the init process. */
CHECKED struct err *task_create(struct task_manager *m, const struct task_create *request,
	struct cancel *cancel, uint32_t *ret_pid);
CHECKED struct err *task_start(struct task_manager *m, const char *ns, const char *id,
	const char *exec, struct cancel *cancel, uint32_t *ret_pid);
CHECKED struct err *task_delete(struct task_manager *m, const char *ns, const char *id,
	struct cancel *cancel, struct process_exit *ret);
CHECKED struct err *task_delete_process(struct task_manager *m, const char *ns, const char *id,
	const char *exec, struct cancel *cancel, struct process_exit *ret);
CHECKED struct err *task_get(struct task_manager *m, const char *ns, const char *id,
	const char *exec, struct cancel *cancel, struct process_info *ret);
/* A task whose shim does not answer in state_timeout is listed with status unknown. */
CHECKED struct err *task_list(
	struct task_manager *m, const char *ns, struct cancel *cancel, struct process_list *ret);
CHECKED struct err *task_kill(struct task_manager *m, const char *ns, const char *id,
	const char *exec, uint32_t signum, bool all, struct cancel *cancel);
CHECKED struct err *task_exec(struct task_manager *m, const char *ns, const char *id,
	const char *exec, const struct any *spec, const struct task_io *io, struct cancel *cancel);
CHECKED struct err *task_resize(struct task_manager *m, const char *ns, const char *id,
	const char *exec, uint32_t width, uint32_t height, struct cancel *cancel);
CHECKED struct err *task_close_io(struct task_manager *m, const char *ns, const char *id,
	const char *exec, bool close_stdin, struct cancel *cancel);
CHECKED struct err *task_pause(
	struct task_manager *m, const char *ns, const char *id, struct cancel *cancel);
CHECKED struct err *task_resume(
	struct task_manager *m, const char *ns, const char *id, struct cancel *cancel);
CHECKED struct err *task_update(struct task_manager *m, const char *ns, const char *id,
	const struct any *resources, const struct strmap *annotations, struct cancel *cancel);
CHECKED struct err *task_checkpoint(struct task_manager *m, const char *ns, const char *id,
	const char *path, const struct any *options, struct cancel *cancel);
/* The stats as the shim gives them. */
CHECKED struct err *task_stats(struct task_manager *m, const char *ns, const char *id,
	struct cancel *cancel, struct any *ret);

struct task_pid {
	uint32_t pid;
	struct any info; /* runc.v1.ProcessDetails for execs, else absent */
};
struct task_pids {
	struct task_pid *items;
	size_t n, cap;
};
void task_pids_done(struct task_pids *p);
DEFINE_AUTOVAL(task_pids, task_pids_done);
CHECKED struct err *task_pids(struct task_manager *m, const char *ns, const char *id,
	struct cancel *cancel, struct task_pids *ret);

/* A wait holds no thread: `done` is called exactly once, on the loop's thread or before this
 * returns, with the exit or an error. An abandoned wait (the caller hung up) is told so by
 * task_wait_forget(); `done` is then called with ERR_CANCELLED if it was not yet. */
struct task_wait;
typedef void (*task_wait_fn)(void *arg, struct err *take_e, const struct process_exit *exit);
struct task_wait *task_wait_start(struct task_manager *m, const char *ns, const char *id,
	const char *exec, task_wait_fn done, void *arg);
void task_wait_forget(struct task_wait *w); /* loop thread; NULL-safe; not after `done` */

/* What `<shim> -info` says about a runtime: a serialized containerd.types.RuntimeInfo. */
CHECKED struct err *task_runtime_info(struct task_manager *m, const char *runtime,
	const struct any *options, struct cancel *cancel, struct any *ret);
