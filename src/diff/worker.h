// SPDX-License-Identifier: Apache-2.0
/* The daemon's end of a job: what the worker is told (src/worker/job.h), and what it answers. */
#pragma once

#include "base/digest.h"
#include "base/json.h"
#include "sys/mount.h"
#include "sys/spawn.h"

#define WORKER_LAYER_FD 3
#define WORKER_ANSWER_MAX ((size_t)64 * 1024)

struct worker_answer {
	char digest[DIGEST_MAX]; /* of the uncompressed layer */
	int64_t size;
};

/* A job begins with who the parent is. */
struct json_object *worker_job_new(void);
/* The job in a file, for the worker's standard input. */
CHECKED struct err *worker_job_file(struct json_object *job, int *ret);
void worker_job_add_mounts(struct json_object *job, const char *name, const struct mounts *mounts);

/* How to start the program; the argv lives as long as the caller's memory. */
struct worker_command {
	const char *argv[3];
	struct spawn_options options;
};
void worker_command_init(struct worker_command *ret, const char *program, const char *what);

/* What came of the job: the answer's result or its error, or why there is no answer. */
CHECKED struct err *worker_read_answer(
	int status, const char *text, size_t len, struct worker_answer *ret);
