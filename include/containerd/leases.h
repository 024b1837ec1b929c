// SPDX-License-Identifier: Apache-2.0
/* Leases: what keeps objects from the garbage collector until something refers to them. See containerd/client.h for the conventions. */
#pragma once

#include <containerd/client.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ctd_lease {
	const char *id;
	struct ctd_time created_at;
	struct ctd_labels labels;
};

struct ctd_leases {
	size_t n;
	const struct ctd_lease *const *items;
};

CTD_CHECKED CTD_API struct ctd_error *ctd_lease_list(struct ctd_client *client,
	const char *const *filters, size_t n_filters, struct ctd_leases **ret);
/* A NULL id has one made up. expires_ns 0: never. */
CTD_CHECKED CTD_API struct ctd_error *ctd_lease_create(struct ctd_client *client, const char *id,
	int64_t expires_ns, struct ctd_labels labels, struct ctd_lease **ret);
/* With `sync`, returns after what the lease alone held was collected. */
CTD_CHECKED CTD_API struct ctd_error *ctd_lease_delete(
	struct ctd_client *client, const char *id, bool sync);

#ifdef __cplusplus
}
#endif
