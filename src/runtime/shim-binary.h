// SPDX-License-Identifier: Apache-2.0
/*
 * Shims as programs: which file a runtime's name stands for, how `start`, `delete` and `-info` are
 * called, and what the generations of shims want on their standard input.
 */
#pragma once

#include "runtime/shim.h"

/* What `start` reads: the options as an Any, or BootstrapParams (containerd 2.3 and later). */
enum shim_input { SHIM_INPUT_UNKNOWN, SHIM_INPUT_OPTIONS, SHIM_INPUT_PARAMS };

void shim_binaries_init(struct shim_binaries *b);
void shim_binaries_done(struct shim_binaries *b);

/* "io.containerd.runc.v2" or an absolute path -> the file. */
CHECKED struct err *shim_binary_resolve(
	struct shim_binaries *b, const char *runtime, const char *daemon_path, char **ret);

struct shim_command {
	const struct shim_options *options;
	const char *binary, *ns, *id, *bundle;
};

CHECKED struct err *shim_binary_start(struct shim_binaries *b, const struct shim_command *c,
	const struct any *options, struct cancel *cancel, struct bootstrap *ret);
/* Cleans up behind a shim that is gone. */
CHECKED struct err *shim_binary_delete(
	const struct shim_command *c, int64_t timeout_ms, struct process_exit *ret);
CHECKED struct err *shim_binary_info(
	const char *binary, const struct any *options, struct cancel *cancel, struct any *ret);

/* For tests: the generation that a `-v` text tells of. */
enum shim_input shim_input_of_version(const char *text);
