// SPDX-License-Identifier: Apache-2.0
/* Events as they happen. See containerd/client.h for the conventions. */
#pragma once

#include <containerd/client.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ctd_event {
	struct ctd_time timestamp;
	const char *namespace_name, *topic;
	const char *json; /* the event as one line of JSON, "" when it carries nothing */
};

struct ctd_subscription;

/* Filters such as `topic~="/tasks/"`; none: all events of all namespaces. */
CTD_CHECKED CTD_API struct ctd_error *ctd_subscribe(struct ctd_client *client,
	const char *const *filters, size_t n_filters, struct ctd_subscription **ret);
/* Blocks for the next event. An error ends the subscription. */
CTD_CHECKED CTD_API struct ctd_error *ctd_subscription_next(
	struct ctd_subscription *s, struct ctd_event **ret);
CTD_API void ctd_unsubscribe(struct ctd_subscription *s);

#ifdef __cplusplus
}
#endif
