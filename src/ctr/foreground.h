// SPDX-License-Identifier: Apache-2.0
/*
 * A process in the foreground: the terminal it gets, the signals it gets, and its end. Signals are
 * blocked before any thread starts, so all of them come here.
 */
#pragma once

#include <signal.h>
#include <termios.h>

#include "ctr/ctr.h"

#include <containerd/tasks.h>

struct foreground {
	int tty; /* the terminal in raw mode, or -1 */
	struct termios saved;
	int signals; /* signalfd */
};

#define FOREGROUND_INIT ((struct foreground){.tty = -1, .signals = -1})

/* Take over the signals; with `tty`, find the terminal (ERR_PRECONDITION when there is none) and
 * make it raw. Call before connecting. */
CHECKED struct err *foreground_init(struct foreground *f, bool tty);
/* Make the terminal raw; nothing without one. */
CHECKED struct err *foreground_raw(struct foreground *f);
/* The terminal as it was. */
void foreground_done(struct foreground *f);
DEFINE_AUTOVAL(foreground, foreground_done);
/* The descriptors for the process's input and output. */
void foreground_streams(const struct foreground *f, struct ctd_io_options *io);
/* Carry signals and sizes until the process has ended; its exit status. */
CHECKED struct err *foreground_wait(
	struct foreground *f, struct ctd_process *p, uint32_t *ret_status);

/* "SIGTERM", "TERM", "15"; ERR_INVALID. */
CHECKED struct err *signal_parse(const char *text, int *ret);
