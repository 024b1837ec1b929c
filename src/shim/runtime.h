// SPDX-License-Identifier: Apache-2.0
/*
 * Commands of the OCI runtime (runc, crun): started without waiting, reported when they end. The
 * shim asks the runtime only for what changes a container; what can be read from the kernel is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/strv.h"
#include "shim/reaper.h"

#define RUNTIME_DEFAULT "runc"
#define RUNTIME_ROOT "/run/containerd/runc"

/* How to call the runtime for one container. */
struct runtime {
	char *binary;
	char *root; /* <root option>/<namespace> */
	char *log;  /* <bundle>/log.json */
	bool systemd_cgroup;
};

void runtime_init(struct runtime *rt, const char *binary, const char *root, const char *ns,
	const char *bundle, bool systemd_cgroup);
void runtime_done(struct runtime *rt);
DEFINE_AUTOVAL(runtime, runtime_done);
/* A runtime whose containers are processes of this kernel, so that a signal sent by us to the init
 * process is the same as the runtime's own. */
bool runtime_is_native(const struct runtime *rt);
/* "runc --root R --log L --log-format json", to which the command's own words are added. */
void runtime_argv(const struct runtime *rt, struct strv *argv);

struct runtime_result {
	struct err *not_started; /* borrowed; NULL when it ran */
	uint32_t status;
	const char *output;    /* stdout and stderr together, unless the caller gave descriptors */
	const char *log_error; /* the last error this command left in its log, NULL for none */
	const char *binary;
};

static inline bool runtime_failed(const struct runtime_result *r)
{
	return r->not_started || r->status;
}

typedef void (*runtime_fn)(void *arg, const struct runtime_result *result);

struct runtime_call {
	struct strv argv;  /* owned, runtime_argv() and the command */
	const int *fds;	   /* 0-2 of the command; NULL: /dev/null and captured output */
	const void *input; /* given on stdin when fds is NULL; may be NULL */
	size_t input_len;
	runtime_fn fn; /* always from the loop, never within runtime_start() */
	void *arg;
};

/* Takes call->argv. */
void runtime_start(struct loop *loop, struct reaper *reaper, const struct runtime *rt,
	struct runtime_call *call);

/* NULL for success; else "<what>: <the runtime's own words>". */
CHECKED struct err *runtime_error(const struct runtime_result *r, const char *what);
/* As go-runc has it: "runc did not terminate successfully: exit status 1: <output>". */
CHECKED struct err *runtime_plain_error(const struct runtime_result *r);
/* The message of the last line of level error in a log of JSON lines; NULL for none. */
char *runtime_last_error(const char *text, size_t len);
