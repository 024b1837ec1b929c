// SPDX-License-Identifier: Apache-2.0
/* Leases keep what they list, and what that refers to, from being collected. */
#pragma once

#include "meta/db.h"

struct lease {
	char *id;
	struct strmap labels;
	struct timestamp created_at;
};

struct lease_list {
	struct lease *items;
	size_t n, cap;
};

struct lease_resource {
	char *id;
	char *type; /* "content", "ingests", "images", "snapshots/<snapshotter>" */
};

struct lease_resource_list {
	struct lease_resource *items;
	size_t n, cap;
};

void lease_done(struct lease *l);
DEFINE_AUTOVAL(lease, lease_done);
void lease_list_done(struct lease_list *l);
DEFINE_AUTOVAL(lease_list, lease_list_done);
void lease_resource_list_done(struct lease_resource_list *l);
DEFINE_AUTOVAL(lease_resource_list, lease_resource_list_done);

/* An empty or NULL id gets one made: "<nanoseconds>-<4 base64url characters>". Making and deleting a
 * lease with an expiry label is in order with all other writes, and durable with the next of them. */
CHECKED struct err *leases_create(struct meta *m, const struct scope *s, const char *id,
	const struct strmap *labels, struct lease *ret);
CHECKED struct err *leases_delete(struct meta *m, const struct scope *s, const char *id);
/* Filter fields: id, labels.*. */
CHECKED struct err *leases_list(struct meta *m, const struct scope *s, char *const *filters,
	size_t n_filters, struct lease_list *ret);
/* An unknown type is ERR_UNIMPLEMENTED, an unknown lease ERR_NOT_FOUND. */
CHECKED struct err *leases_add_resource(
	struct meta *m, const struct scope *s, const char *lease, const char *id, const char *type);
CHECKED struct err *leases_delete_resource(
	struct meta *m, const struct scope *s, const char *lease, const char *id, const char *type);
CHECKED struct err *leases_list_resources(
	struct meta *m, const struct scope *s, const char *lease, struct lease_resource_list *ret);
