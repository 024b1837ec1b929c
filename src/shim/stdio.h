// SPDX-License-Identifier: Apache-2.0
/*
 * What a process reads and writes: named pipes, files, logging programs, a terminal, or nothing.
 * The other ends belong to clients, which may be missing, slow or gone: none of that blocks us.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/reaper.h"

struct stdio_spec {
	char *in, *out, *err; /* path, fifo://path, file://path, binary://..., "" for nothing */
	bool terminal;
};

void stdio_spec_done(struct stdio_spec *spec);

struct stdio_context {
	struct loop *loop;
	struct reaper *reaper;
	const char *ns, *id; /* for logging programs */
	uint32_t uid, gid;   /* owner of the pipes the process gets */
};

struct stdio;

/* NULL for success. */
typedef void (*stdio_fn)(void *arg, struct err *take_e);

/* Opens everything and starts the logging program, if any. *ret is set first; then `ready` is called
 * once, from the loop or within this call, when the process may be started. The context and the
 * spec outlive the object. */
void stdio_open(const struct stdio_context *context, const struct stdio_spec *spec, stdio_fn ready,
	void *arg, struct stdio **ret);
/* 0, 1 and 2 of the process, -1 for /dev/null. With a terminal all are -1. Borrowed. */
void stdio_child_fds(const struct stdio *s, int ret[3]);
/* The process runs: give up its ends of the pipes and begin to copy. `take_console` is the master
 * of its terminal, -1 without. */
void stdio_run(struct stdio *s, int take_console);
/* The process is gone: input ends, and a terminal once what it holds is copied. */
void stdio_process_exited(struct stdio *s);
/* No more input from us; the process sees the end once every other writer is gone too. */
void stdio_close_in(struct stdio *s);
CHECKED struct err *stdio_resize(struct stdio *s, uint32_t width, uint32_t height);
/* `done` once all output was delivered, or after the timeout; from the loop or within this call.
 * Returns to it true when output was left. */
void stdio_wait_drained(
	struct stdio *s, int64_t timeout_ms, void (*done)(void *arg, bool left), void *arg);
/* Closes everything and ends the logging program; `done` (may be NULL) when that is gone. The
 * object may not be used afterwards. NULL-safe. */
void stdio_close(struct stdio *s, void (*done)(void *arg), void *arg);
