// SPDX-License-Identifier: Apache-2.0
/* Namespaces: names that keep the objects of one user of the daemon from another's. See containerd/client.h for the conventions. */
#pragma once

#include <containerd/client.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ctd_namespace {
	const char *name;
	struct ctd_labels labels;
};

struct ctd_namespaces {
	size_t n;
	const struct ctd_namespace *const *items;
};

CTD_CHECKED CTD_API struct ctd_error *ctd_namespace_list(
	struct ctd_client *client, struct ctd_namespaces **ret);
CTD_CHECKED CTD_API struct ctd_error *ctd_namespace_create(
	struct ctd_client *client, const char *name, struct ctd_labels labels);
/* Sets each label given; an empty value removes it. Others stay. */
CTD_CHECKED CTD_API struct ctd_error *ctd_namespace_label(
	struct ctd_client *client, const char *name, struct ctd_labels labels);
/* CTD_FAILED_PRECONDITION while it holds objects. */
CTD_CHECKED CTD_API struct ctd_error *ctd_namespace_delete(
	struct ctd_client *client, const char *name);

#ifdef __cplusplus
}
#endif
