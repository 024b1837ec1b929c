// SPDX-License-Identifier: Apache-2.0
/* Task calls, for the rest of the library. */
#pragma once

#include "client/client-internal.h"

#include <containerd/tasks.h>
#include "proto/tasks.pb-c.h"

#define TASKS "/containerd.services.tasks.v1.Tasks/"

/* Delete in the daemon, without looking at FIFOs or states. */
CHECKED struct err *task_delete_call(
	const struct scope *s, const char *id, const char *exec_id, uint32_t *ret_status);
CHECKED struct err *task_wait_start(
	const struct scope *s, const char *id, const char *exec_id, struct grpc_stream **ret);
CHECKED struct err *task_wait_finish(struct grpc_stream *take_s, uint32_t *ret_status);

/* --- input and output of a process (process-io.c) --- */

struct process_io;

/* FIFOs in a folder of their own below options->fifo_dir, with the reading ends open already so
 * that no shim has to wait. Nothing is made for null and log URIs. */
CHECKED struct err *process_io_new(
	const char *id, const struct ctd_io_options *options, struct process_io **ret);
/* Those of a task that is there. */
CHECKED struct err *process_io_attach(
	const struct ctd_task *task, const struct ctd_io_options *options, struct process_io **ret);
/* What to tell the daemon; "" for none. */
const char *process_io_stdin(const struct process_io *io);
const char *process_io_stdout(const struct process_io *io);
const char *process_io_stderr(const struct process_io *io);
/* Start to copy. `stdin_ended` is called on a thread of its own, at most once. */
CHECKED struct err *process_io_start(
	struct process_io *io, void (*stdin_ended)(void *arg), void *arg);
/* Wait until the shim has closed its ends or was silent for idle_ms, and stop. */
void process_io_finish(struct process_io *io, int idle_ms);
/* Take the FIFOs away. */
void process_io_remove(struct process_io *io);
/* Stops the copying. The FIFOs stay. */
void process_io_free(struct process_io *io);
DEFINE_AUTOPTR(process_io, process_io_free);
/* Remove FIFOs by their paths, and the folder that held them when it is empty. */
void fifos_remove(const char *const *paths, size_t n);
/* Remove what is left of a container's FIFOs when its shim died without anybody told: those of its
 * name, made by this library, that no program has open. */
void fifos_sweep(const char *id);
