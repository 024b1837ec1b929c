// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "oci/image-tree.h"
#include "transfer/transfer.h"

struct transfer {
	struct meta *meta;
	struct content *content;
	struct snapshots *snapshots;
	struct differ *differ;
	char *worker;
	bool check_platform;
};

/* The scope with a lease: the caller's, or one that ends with the job. */
struct leased {
	struct transfer *transfer;
	struct scope scope;
	char *own;
};
CHECKED struct err *leased_begin(struct transfer *t, const struct scope *s, struct leased *ret);
void leased_end(struct leased *l);
DEFINE_AUTOVAL(leased, leased_end);

void progress_emit(const struct transfer_progress *p, const char *event, const char *name,
	const struct descriptor *d);

/* The namespace's content as what walks and makes images wants it. */
struct content_blobs {
	struct image_blobs base;
	struct content *content;
	const struct scope *scope;
	struct cancel *cancel;
};
extern const struct image_blobs_ops content_blobs_ops;

/* Exactly this platform. */
bool platform_is(const struct platform *a, const struct platform *b);
/* The position in the list of the first that is exactly this platform; n for none. */
size_t platform_rank(const struct platform *list, size_t n, const struct platform *p);
/* The wanted ones first, in the order in which they are wanted; those without a platform last. */
void entries_sort(struct image_index *index, const struct platform *list, size_t n);

/* Unpack a manifest's layers where one of the configurations fits; none that fits is no error. */
struct unpack_plan {
	struct platform target;
	char *snapshotter;
};
struct unpack_plans {
	struct unpack_plan *items;
	size_t n, cap;
};
void unpack_plans_done(struct unpack_plans *p);
DEFINE_AUTOVAL(unpack_plans, unpack_plans_done);
/* What of the configurations asked for can be had. ERR_INVALID when nothing of it can. */
CHECKED struct err *unpack_plan(struct transfer *t, const struct scope *s,
	const struct transfer_store *to, struct unpack_plans *ret);
CHECKED struct err *unpack_manifest(struct transfer *t, struct content_blobs *b,
	const struct unpack_plans *plans, const struct image_index *children);

/* Enter the target under the names of the destination: those that its annotations give when it comes
 * from an archive's index, otherwise those that were asked for. */
CHECKED struct err *store_names(struct transfer *t, const struct scope *s,
	const struct transfer_store *to, const struct descriptor *target, bool by_annotations,
	const struct transfer_progress *progress);
