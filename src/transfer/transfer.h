// SPDX-License-Identifier: Apache-2.0
/*
 * Jobs that move images: from an archive into the image store, out of it, and within it. They do
 * what containerd's transfer service does, with its names, labels and references. The bytes of an
 * archive are parsed in the confined worker only; what comes out of it is bounded here again. A job
 * works under the caller's lease, or under one of its own, so that nothing it has brought in is
 * collected before a name holds it.
 */
#pragma once

#include "base/thread.h"
#include "diff/differ.h"
#include "namespaced/content.h"
#include "namespaced/snapshots.h"
#include "meta/images.h"
#include "oci/platform.h"
#include "transfer/streams.h"

struct transfer;

struct transfer_options {
	struct meta *meta;
	struct content *content;
	struct snapshots *snapshots;
	struct differ *differ; /* NULL: nothing can be unpacked */
	const char *worker;    /* path of the worker program */
	bool check_platform;   /* unpack only what this machine can run, not all of its OS */
};

struct transfer *transfer_new(const struct transfer_options *options); /* borrows the objects */
void transfer_free(struct transfer *t);
DEFINE_AUTOPTR(transfer, transfer_free);

/* Told as it goes; may be NULL where a progress is passed. `name` and `d` may be NULL. */
struct transfer_progress {
	void (*emit)(void *arg, const char *event, const char *name, const struct descriptor *d);
	void *arg;
};

struct transfer_reference {
	const char *name;
	/* The name is a prefix: images are found by it, a tag or digest is added to make a name. */
	bool is_prefix;
	bool allow_overwrite;	/* names of images need not start with the prefix */
	bool add_digest;	/* also, or for want of a name, prefix@digest */
	bool skip_named_digest; /* but not beside a name */
};

struct transfer_unpack {
	struct platform platform;
	const char *snapshotter; /* "": the default */
};

/* Names in the image store, as source or as destination. */
struct transfer_store {
	const char *name;
	const struct strmap *labels;
	const struct platform *platforms; /* none: all */
	size_t n_platforms;
	bool all_metadata; /* manifests and configs of other platforms too */
	unsigned manifest_limit;
	const struct transfer_reference *references;
	size_t n_references;
	const struct transfer_unpack *unpacks;
	size_t n_unpacks;
};

struct transfer_export {
	const struct platform *platforms; /* none: this machine's */
	size_t n_platforms;
	bool all_platforms, skip_docker_manifest, skip_non_distributable;
};

CHECKED struct err *transfer_import(struct transfer *t, const struct scope *s, struct stream *from,
	bool compress, const struct transfer_store *to, const struct transfer_progress *progress,
	struct cancel *cancel);
CHECKED struct err *transfer_export(struct transfer *t, const struct scope *s,
	const struct transfer_store *from, const struct transfer_export *options, struct stream *to,
	const struct transfer_progress *progress, struct cancel *cancel);
/* The image of one name gets the names of the destination. */
CHECKED struct err *transfer_tag(struct transfer *t, const struct scope *s,
	const struct transfer_store *from, const struct transfer_store *to);
/* An archive straight back, unread. */
CHECKED struct err *transfer_echo(struct stream *from, struct stream *to);
