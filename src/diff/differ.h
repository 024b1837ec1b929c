// SPDX-License-Identifier: Apache-2.0
/*
 * Layers onto snapshots and back: apply a layer's tar to mounts, and make a layer from the
 * difference of two sets of mounts. The bytes of a layer are parsed only in the confined worker
 * (src/worker), which this layer starts, one per job.
 */
#pragma once

#include "base/thread.h"
#include "namespaced/content.h"
#include "oci/descriptor.h"
#include "sys/mount.h"

struct differ;

struct differ_options {
	const char *worker;	   /* path of the worker program */
	int64_t max_layer_bytes;   /* uncompressed bound of one layer; 0: 1 TiB */
	int64_t max_layer_entries; /* 0: 16 million */
};

struct differ *differ_new(struct content *content, const struct differ_options *options);
void differ_free(struct differ *d);
DEFINE_AUTOPTR(differ, differ_free);

/* Unpack the blob onto the mounts. `ret` is the uncompressed layer: its media type, diffID and
 * size. ERR_INVALID for a layer that is malformed, escapes, or passes a bound, naming the entry;
 * what was written then is the caller's to remove with the snapshot. `sync` flushes the file system
 * before it returns. */
CHECKED struct err *differ_apply(struct differ *d, const struct scope *s,
	const struct descriptor *layer, const struct mounts *mounts, bool sync,
	struct cancel *cancel, struct descriptor *ret);

/* A layer with what `upper` has changed over `lower`, written to content under `ref` (NULL: one is
 * made) with the labels given and containerd.io/uncompressed. */
struct diff_request {
	const struct mounts *lower, *upper;
	const char *media_type; /* NULL: OCI tar+gzip */
	const char *ref;
	const struct strmap *labels;
	bool has_source_date;
	struct timestamp source_date; /* upper bound of times in the layer */
};
CHECKED struct err *differ_diff(struct differ *d, const struct scope *s,
	const struct diff_request *request, struct cancel *cancel, struct descriptor *ret);
