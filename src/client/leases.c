// SPDX-License-Identifier: Apache-2.0
#include "client/client-internal.h"

#include <containerd/leases.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "proto/leases.pb-c.h"

#define SERVICE "/containerd.services.leases.v1.Leases/"
#define EXPIRE_LABEL "containerd.io/gc.expire"
#define NS_PER_SECOND 1000000000
#define DAY_NS ((int64_t)24 * 3600 * NS_PER_SECOND)

static void lease_from_wire(struct ctd_lease *to, const Leases__Lease *l, struct arena *arena)
{
	to->id = l->id;
	to->created_at = time_from_wire(l->created_at);
	to->labels = labels_from_wire(l->n_labels, l->labels, arena);
}

struct err *ctd_lease_list(struct ctd_client *client, const char *const *filters, size_t n_filters,
	struct ctd_leases **ret)
{
	autoptr(arena) arena = arena_new();
	Leases__ListRequest request = LEASES__LIST_REQUEST__INIT;
	Leases__ListResponse *reply;

	request.n_filters = n_filters;
	request.filters = (char **)filters;
	TRY(call(SCOPE(client), SERVICE "List", &request, &leases__list_response__descriptor, arena,
		&reply));
	struct ctd_leases *list = record_new(arena, sizeof(*list));
	struct ctd_lease **items = arena_array(arena, reply->n_leases, sizeof(*items));
	for (size_t i = 0; i < reply->n_leases; i++) {
		items[i] = ARENA_NEW(arena, struct ctd_lease);
		lease_from_wire(items[i], reply->leases[i], arena);
	}
	list->n = reply->n_leases;
	list->items = (const struct ctd_lease *const *)items;
	*ret = list;
	TAKE(arena);
	return NULL;
}

/* Seconds are enough for an expiry, and what Go's RFC 3339 prints. */
static void expiry_label(struct strmap *labels, int64_t expires_ns)
{
	char text[TIMESTAMP_TEXT];
	struct timestamp t = timestamp_now();

	t.sec += expires_ns / NS_PER_SECOND;
	t.nsec = 0;
	timestamp_format(t, text);
	strmap_set(labels, EXPIRE_LABEL, text);
}

static char *random_id(void)
{
	struct timestamp now = timestamp_now();
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = (uint32_t)getpid();
	return xasprintf("%d-%08x", now.nsec, random);
}

struct err *ctd_lease_create(struct ctd_client *client, const char *id, int64_t expires_ns,
	struct ctd_labels labels, struct ctd_lease **ret)
{
	autoptr(arena) arena = arena_new();
	autoval(strmap) all = STRMAP_INIT;
	autofree char *made_up = str_empty(id) ? random_id() : NULL;
	Leases__CreateRequest request = LEASES__CREATE_REQUEST__INIT;
	Leases__CreateResponse *reply;

	for (size_t i = 0; i < labels.n; i++)
		strmap_set(&all, labels.items[i].key, labels.items[i].value);
	if (expires_ns > 0)
		expiry_label(&all, expires_ns);
	request.id = made_up ? made_up : (char *)id;
	request.labels = STRMAP_TO_WIRE(&all, Leases__CreateRequest__LabelsEntry,
		leases__create_request__labels_entry__init, arena, &request.n_labels);
	TRY(call(SCOPE(client), SERVICE "Create", &request, &leases__create_response__descriptor,
		arena, &reply));
	if (!reply->lease)
		return err_new(ERR_INTERNAL, "the daemon made a lease without saying which");
	struct ctd_lease *lease = record_new(arena, sizeof(*lease));
	lease_from_wire(lease, reply->lease, arena);
	*ret = lease;
	TAKE(arena);
	return NULL;
}

struct err *ctd_lease_delete(struct ctd_client *client, const char *id, bool sync)
{
	Leases__DeleteRequest request = LEASES__DELETE_REQUEST__INIT;

	request.id = (char *)id;
	request.sync = sync;
	return call_void(SCOPE(client), SERVICE "Delete", &request);
}

struct err *temporary_lease_new(struct ctd_client *c, struct temporary_lease *ret)
{
	struct ctd_lease *lease;

	TRY(ctd_lease_create(c, NULL, DAY_NS, (struct ctd_labels){0}, &lease));
	ret->client = c;
	ret->id = xstrdup(lease->id);
	ctd_free(lease);
	return NULL;
}

void temporary_lease_done(struct temporary_lease *l)
{
	Leases__DeleteRequest request = LEASES__DELETE_REQUEST__INIT;
	struct grpc_stream *call = NULL;

	/* Should this fail, it expires by itself. */
	request.id = l->id;
	if (l->id) {
		err_free(call_start(SCOPE(l->client), SERVICE "Delete", &request,
			&google__protobuf__empty__descriptor, &call));
		client_part(l->client, call);
	}
	free(l->id);
	*l = (struct temporary_lease){0};
}
