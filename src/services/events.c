// SPDX-License-Identifier: Apache-2.0
#include "events/exchange.h"

#include "proto/event-service.pb-c.h"
#include "proto/events-ttrpc.pb-c.h"
#include "services/convert.h"
#include "services/services.h"

static struct err *events_handle_publish(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Evsvc__PublishRequest *req = rpc_request(call);
	autoval(any) payload = ANY_INIT;
	struct scope s;

	TRY(call_scope(call, &s));
	any_from_wire(&payload, req->event);
	TRY(exchange_publish(svc->exchange, s.ns, req->topic, &payload));
	return reply_empty(call);
}

static struct err *forward(struct services *svc, const Types__Envelope *envelope)
{
	autoval(any) payload = ANY_INIT;

	if (!envelope)
		return err_new(ERR_INVALID, "envelope required");
	any_from_wire(&payload, envelope->event);
	return exchange_forward(svc->exchange, timestamp_from_wire(envelope->timestamp),
		envelope->namespace_, envelope->topic, &payload);
}

static struct err *events_handle_forward(struct rpc_call *call, void *impl)
{
	const Evsvc__ForwardRequest *req = rpc_request(call);

	TRY(forward(impl, req->envelope));
	return reply_empty(call);
}

static struct err *events_handle_forward_ttrpc(struct rpc_call *call, void *impl)
{
	const Evttrpc__ForwardRequest *req = rpc_request(call);

	TRY(forward(impl, req->envelope));
	return reply_empty(call);
}

/*
 * A subscriber holds no thread: its call is parked and publishers push into its queue. The stream
 * lives in the call's arena. Three may want to end it: the handler before the call is parked, a
 * delivery that finds the queue full, and the caller hanging up; `over` is set by the first.
 */
struct stream {
	struct rpc_call *call;
	struct subscription *subscription;
	struct lock lock;
	bool parked, over, finished; /* guarded by lock */
};

static struct err *too_slow(void)
{
	return err_new(ERR_EXHAUSTED, "subscriber is too slow: its queue of events is full");
}

static struct err *push(struct stream *s, const struct event *e)
{
	autoptr(arena) arena = arena_new();
	Types__Envelope w = TYPES__ENVELOPE__INIT;

	w.timestamp = timestamp_to_wire(e->at, arena);
	w.namespace_ = e->ns;
	w.topic = e->topic;
	w.event = any_to_wire(&e->payload, arena);
	return rpc_try_send(s->call, &w);
}

static bool stream_deliver(void *arg, const struct event *event)
{
	struct stream *s = arg;
	autoptr(err) e = push(s, event);
	bool finish;

	if (!e)
		return true;
	lock_take(&s->lock);
	if (s->over) {
		lock_drop(&s->lock);
		return true;
	}
	s->over = true;
	finish = s->finished = s->parked;
	lock_drop(&s->lock);
	if (finish)
		rpc_finish(s->call, too_slow());
	return false;
}

static void stream_cancelled(struct rpc_call *call, void *arg)
{
	struct stream *s = arg;
	bool mine;

	lock_take(&s->lock);
	mine = !s->over;
	s->over = true;
	s->finished |= mine;
	lock_drop(&s->lock);
	if (!mine)
		return;
	subscription_end(s->subscription);
	rpc_finish(call, cancel_check(rpc_cancel(call)));
}

static struct err *events_handle_subscribe(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Evsvc__SubscribeRequest *req = rpc_request(call);
	struct stream *s = ARENA_NEW(rpc_arena(call), struct stream);
	bool lost;

	s->call = call;
	lock_init(&s->lock);
	TRY(exchange_subscribe(
		svc->exchange, req->filters, req->n_filters, stream_deliver, s, &s->subscription));
	rpc_park(call, stream_cancelled, s);
	lock_take(&s->lock);
	s->parked = true;
	lost = s->over && !s->finished;
	s->finished |= lost;
	lock_drop(&s->lock);
	if (lost)
		rpc_finish(call, too_slow());
	return NULL;
}

static const struct rpc_method methods[] = {
	{"Publish", RPC_UNARY, LANE_NORMAL, &evsvc__publish_request__descriptor,
		&google__protobuf__empty__descriptor, events_handle_publish},
	{"Forward", RPC_UNARY, LANE_NORMAL, &evsvc__forward_request__descriptor,
		&google__protobuf__empty__descriptor, events_handle_forward},
	{"Subscribe", RPC_SERVER_STREAM, LANE_NORMAL, &evsvc__subscribe_request__descriptor,
		&types__envelope__descriptor, events_handle_subscribe},
};

const struct rpc_service events_service = {
	"containerd.services.events.v1.Events", methods, ARRAY_LEN(methods)};

static const struct rpc_method ttrpc_methods[] = {
	{"Forward", RPC_UNARY, LANE_RESERVED, &evttrpc__forward_request__descriptor,
		&google__protobuf__empty__descriptor, events_handle_forward_ttrpc},
};

const struct rpc_service events_ttrpc_service = {
	"containerd.services.events.ttrpc.v1.Events", ttrpc_methods, ARRAY_LEN(ttrpc_methods)};
