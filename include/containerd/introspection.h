// SPDX-License-Identifier: Apache-2.0
/* What the daemon is made of. See containerd/client.h for the conventions. */
#pragma once

#include <containerd/client.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ctd_plugin {
	const char *type, *id;
	struct ctd_strings
		requires;
	struct ctd_strings platforms; /* "linux/amd64" */
	struct ctd_labels exports;
	struct ctd_strings capabilities;
	bool failed; /* it did not load, for the reason below */
	enum ctd_code error_code;
	const char *error_message;
};

struct ctd_plugins {
	size_t n;
	const struct ctd_plugin *const *items;
};

/* No filters: all. */
CTD_CHECKED CTD_API struct ctd_error *ctd_plugin_list(struct ctd_client *client,
	const char *const *filters, size_t n_filters, struct ctd_plugins **ret);

struct ctd_server {
	const char *uuid;
	uint64_t pid, pidns;		 /* 0 when the daemon does not say */
	struct ctd_strings deprecations; /* one line for each feature in use that will go away */
};

CTD_CHECKED CTD_API struct ctd_error *ctd_server_info(
	struct ctd_client *client, struct ctd_server **ret);

#ifdef __cplusplus
}
#endif
