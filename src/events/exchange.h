// SPDX-License-Identifier: Apache-2.0
/*
 * Events between those who publish and those who subscribed: every subscriber sees them in the order
 * of publication. A subscriber that cannot take an event loses its subscription; nobody waits for
 * it. Nothing is stored.
 */
#pragma once

#include "base/any.h"
#include "base/err.h"
#include "base/filter.h"
#include "base/timestamp.h"

struct exchange;
struct subscription;

/* Shared by all subscribers for the time of the delivery. */
struct event {
	struct timestamp at;
	char *ns, *topic;
	struct any payload;
};

struct exchange *exchange_new(void);
void exchange_free(struct exchange *x);
DEFINE_AUTOPTR(exchange, exchange_free);

/* Fields of a payload for filters ("event.container_id"): NULL when absent. Set once, before use. */
typedef const char *(*event_field_fn)(const struct any *payload, char *const *path, size_t n_path,
	char *scratch, size_t scratch_len);
void exchange_set_fields(struct exchange *x, event_field_fn field);

/* Now, from inside. The topic is "/a/b" with identifiers as parts, else ERR_INVALID. */
CHECKED struct err *exchange_publish(
	struct exchange *x, const char *ns, const char *topic, const struct any *payload);
/* From a shim or a client, with its own time. */
CHECKED struct err *exchange_forward(struct exchange *x, struct timestamp at, const char *ns,
	const char *topic, const struct any *payload);

/* `deliver` is called for each event that matches, on the publisher's thread, one at a time. It may
 * neither block nor call the exchange. False: the subscriber cannot take it; the subscription is
 * gone then, and its handle may not be used any more. */
typedef bool (*event_deliver_fn)(void *arg, const struct event *e);
CHECKED struct err *exchange_subscribe(struct exchange *x, char *const *filters, size_t n_filters,
	event_deliver_fn deliver, void *arg, struct subscription **ret);
/* No delivery is under way or comes after it returns. NULL-safe. */
void subscription_end(struct subscription *s);
