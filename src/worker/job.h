// SPDX-License-Identifier: Apache-2.0
/*
 * What the daemon asks of the worker: one JSON document on the worker's standard input.
 *
 *   all    parent         process id of the daemon; the worker does not outlive it
 *   apply  mounts         [{type, source, target, options: []}]
 *          sync           flush the file system at the end
 *          max_bytes, max_entries
 *   diff   lower, upper   mounts
 *          compression    "none", "gzip", "zstd"
 *          time_bound     [seconds, nanoseconds], absent for none
 *   archive                nothing more
 *
 * File descriptor 3 is the layer: read by apply, written by diff. The answer is one JSON document on
 * standard output: {digest, size} of the uncompressed layer, or {class, message} of the error.
 *
 * For archive, descriptor 3 is an image archive to read, and the answer its entries as frames
 * (archive/entries.h).
 */
#pragma once

#include "archive/codec.h"
#include "base/timestamp.h"
#include "sys/mount.h"

#define JOB_LAYER_FD 3
#define JOB_BYTES_MAX ((size_t)4 * 1024 * 1024)

struct job {
	int64_t parent;
	struct mounts mounts; /* apply */
	bool sync;
	int64_t max_bytes, max_entries;
	struct mounts lower, upper; /* diff */
	enum codec codec;
	bool has_time_bound;
	struct timestamp time_bound;
};

void job_done(struct job *j);
DEFINE_AUTOVAL(job, job_done);
CHECKED struct err *job_read(int fd, struct job *ret);
