// SPDX-License-Identifier: Apache-2.0
/* Tasks: containers that run, and further processes in them. See containerd/client.h for the
 * conventions. */
#pragma once

#include <containerd/client.h>
#include <containerd/containers.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ctd_status {
	CTD_STATUS_UNKNOWN,
	CTD_STATUS_CREATED,
	CTD_STATUS_RUNNING,
	CTD_STATUS_STOPPED,
	CTD_STATUS_PAUSED,
	CTD_STATUS_PAUSING,
};

struct ctd_task {
	const char *id; /* of the container */
	uint32_t pid;
	enum ctd_status status;
	uint32_t exit_status;
	struct ctd_time exited_at;
	const char *std_in, *std_out, *std_err; /* FIFOs, URIs, or "" */
	bool terminal;
};

struct ctd_tasks {
	size_t n;
	const struct ctd_task *const *items;
};

CTD_CHECKED CTD_API struct ctd_error *ctd_task_list(
	struct ctd_client *client, struct ctd_tasks **ret);
/* A NULL exec_id is the container's first process, here and below. */
CTD_CHECKED CTD_API struct ctd_error *ctd_task_get(
	struct ctd_client *client, const char *id, const char *exec_id, struct ctd_task **ret);

struct ctd_pid {
	uint32_t pid;
	const char *exec_id; /* "" when it is not a process that was started by an exec */
};

struct ctd_pids {
	size_t n;
	const struct ctd_pid *items;
};

CTD_CHECKED CTD_API struct ctd_error *ctd_task_pids(
	struct ctd_client *client, const char *id, struct ctd_pids **ret);
CTD_CHECKED CTD_API struct ctd_error *ctd_task_kill(
	struct ctd_client *client, const char *id, const char *exec_id, uint32_t signal, bool all);
CTD_CHECKED CTD_API struct ctd_error *ctd_task_pause(struct ctd_client *client, const char *id);
CTD_CHECKED CTD_API struct ctd_error *ctd_task_resume(struct ctd_client *client, const char *id);
/* Also removes the FIFOs of its input and output. With `force`, kills it first and waits for its
 * end. *ret_status may be NULL. */
CTD_CHECKED CTD_API struct ctd_error *ctd_task_delete(struct ctd_client *client, const char *id,
	const char *exec_id, bool force, uint32_t *ret_status);

struct ctd_metrics {
	const char *id;
	struct ctd_time timestamp;
	const char *type; /* "io.containerd.cgroups.v1.Metrics", or v2 */
	const char *json; /* the metrics as one JSON object */
};

CTD_CHECKED CTD_API struct ctd_error *ctd_task_metrics(
	struct ctd_client *client, const char *id, struct ctd_metrics **ret);

struct ctd_checkpoint_options {
	size_t size;
	bool exit;			    /* stop the container after it */
	const char *image_path, *work_path; /* CRIU's folders; an image_path is required */
};

#define CTD_CHECKPOINT_INIT                                                                        \
	((struct ctd_checkpoint_options){.size = sizeof(struct ctd_checkpoint_options)})

CTD_CHECKED CTD_API struct ctd_error *ctd_task_checkpoint(
	struct ctd_client *client, const char *id, const struct ctd_checkpoint_options *options);

/* --- a process whose input and output this program carries --- */

struct ctd_process;

struct ctd_io_options {
	size_t size;
	int stdin_fd, stdout_fd, stderr_fd; /* borrowed until ctd_process_free(); -1: none */
	bool terminal;			    /* one stream for output, stderr_fd is not used */
	bool null;			    /* /dev/null for all */
	const char *log_uri;  /* "file://", "binary://", "fifo://": the shim writes there */
	const char *fifo_dir; /* NULL: /run/containerd/fifo */
	bool detach; /* nobody will wait: nothing is copied, the FIFOs stay for those who attach */
};

#define CTD_IO_INIT                                                                                \
	((struct ctd_io_options){.size = sizeof(struct ctd_io_options),                            \
		.stdin_fd = -1,                                                                    \
		.stdout_fd = -1,                                                                   \
		.stderr_fd = -1})

struct ctd_task_options {
	size_t size;
	bool no_pivot;
	uint32_t io_uid, io_gid; /* owner of the FIFOs as the runtime sees them */
};

#define CTD_TASK_INIT ((struct ctd_task_options){.size = sizeof(struct ctd_task_options)})

/* The first process of a container, created but not started. */
CTD_CHECKED CTD_API struct ctd_error *ctd_task_create(struct ctd_client *client,
	const struct ctd_container *container, const struct ctd_io_options *io,
	const struct ctd_task_options *options, struct ctd_process **ret);

struct ctd_exec_options {
	size_t size;
	const char *exec_id;
	struct ctd_strings args;
	const char *cwd, *user; /* NULL: as the container's first process */
};

#define CTD_EXEC_INIT ((struct ctd_exec_options){.size = sizeof(struct ctd_exec_options)})

/* One more process in a running container, added but not started. */
CTD_CHECKED CTD_API struct ctd_error *ctd_task_exec(struct ctd_client *client,
	const struct ctd_container *container, const struct ctd_exec_options *options,
	const struct ctd_io_options *io, struct ctd_process **ret);

/* The first process of a container that runs already; do not start it again. */
CTD_CHECKED CTD_API struct ctd_error *ctd_task_attach(struct ctd_client *client, const char *id,
	const struct ctd_io_options *io, struct ctd_process **ret);

/* 0 for an exec that has not started. */
CTD_API uint32_t ctd_process_pid(const struct ctd_process *p);
CTD_CHECKED CTD_API struct ctd_error *ctd_process_start(struct ctd_process *p);
/* Readable once the process has ended; owned by `p`. -1 when it is detached. */
CTD_API int ctd_process_exit_fd(const struct ctd_process *p);
/* Blocks until the end. */
CTD_CHECKED CTD_API struct ctd_error *ctd_process_wait(struct ctd_process *p, uint32_t *ret_status);
CTD_CHECKED CTD_API struct ctd_error *ctd_process_kill(struct ctd_process *p, uint32_t signal);
CTD_CHECKED CTD_API struct ctd_error *ctd_process_resize(
	struct ctd_process *p, uint32_t width, uint32_t height);
/* Removes an ended process from the daemon, after the last of its output was written. */
CTD_CHECKED CTD_API struct ctd_error *ctd_process_delete(
	struct ctd_process *p, uint32_t *ret_status);
/* The process itself is not touched. */
CTD_API void ctd_process_free(struct ctd_process *p);

#ifdef __cplusplus
}
#endif
