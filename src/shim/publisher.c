// SPDX-License-Identifier: Apache-2.0
#include "shim/publisher.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/strv.h"
#include "base/timestamp.h"
#include "google/protobuf/empty.pb-c.h"
#include "proto/events-ttrpc.pb-c.h"
#include "proto/types.pb-c.h"
#include "rpc/message.h"
#include "rpc/ttrpc.h"
#include "shim/event-queue.h"

#define FORWARD_MS 5000
#define PAUSE_MIN_MS 50
#define PAUSE_MAX_MS 1000
/* An event the daemon answers with an error is tried so often; a daemon that is away is waited
 * for without end. */
#define REFUSALS_MAX 5

struct publisher {
	struct loop *loop;
	char *address, *ns;
	struct ttrpc_client *client; /* NULL: not connected */
	struct loop_timer *retry, *flush_timer;
	struct event_queue queue;
	bool sending, closing_client;
	int64_t pause_ms;
	void (*flushed)(void *arg);
	void *flushed_arg;
};

static void send_first(struct publisher *p);

static void tell_flushed(struct publisher *p)
{
	void (*flushed)(void *arg) = p->flushed;

	p->flushed = NULL;
	loop_timer_clear(p->flush_timer);
	if (flushed)
		flushed(p->flushed_arg);
}

static void on_flush_timeout(void *arg)
{
	tell_flushed(arg);
}

static void on_retry(void *arg)
{
	send_first(arg);
}

struct publisher *publisher_new(struct loop *loop, const char *address, const char *ns)
{
	struct publisher *p = NEW(struct publisher);

	*p = (struct publisher){.loop = loop,
		.address = xstrdup(str_or(address, "")),
		.ns = xstrdup(ns),
		.pause_ms = PAUSE_MIN_MS};
	p->retry = loop_timer_new(loop, on_retry, p);
	p->flush_timer = loop_timer_new(loop, on_flush_timeout, p);
	event_queue_init(&p->queue, PUBLISHER_QUEUE_MAX);
	return p;
}

void publisher_free(struct publisher *p)
{
	if (!p)
		return;
	loop_timer_free(p->retry);
	loop_timer_free(p->flush_timer);
	p->closing_client = true;
	ttrpc_client_free(p->client);
	event_queue_done(&p->queue);
	free(p->address);
	free(p->ns);
	free(p);
}

static void retry_later(struct publisher *p)
{
	loop_timer_set(p->retry, p->pause_ms);
	p->pause_ms = MIN(p->pause_ms * 2, (int64_t)PAUSE_MAX_MS);
}

/* Not from within a callback of the client. */
static void drop_client(void *arg)
{
	struct publisher *p = arg;
	struct ttrpc_client *c = p->client;

	p->client = NULL;
	ttrpc_client_free(c);
}

static void on_close(void *arg)
{
	struct publisher *p = arg;

	loop_post(p->loop, drop_client, p);
}

static void on_forwarded(void *arg, const struct err *e, const void *reply)
{
	struct publisher *p = arg;
	struct queued_event *first = event_queue_first(&p->queue);
	bool away = err_is(e, ERR_UNAVAILABLE) || err_is(e, ERR_DEADLINE);

	(void)reply;
	if (p->closing_client)
		return;
	p->sending = false;
	if (e && (away || ++first->tries < REFUSALS_MAX)) {
		retry_later(p);
		return;
	}
	if (e)
		log_warn("event refused by the daemon", "topic", first->topic, "error",
			err_message(e));
	p->pause_ms = PAUSE_MIN_MS;
	event_queue_pop(&p->queue);
	send_first(p);
}

static bool connect_daemon(struct publisher *p)
{
	struct err *e;

	if (p->client)
		return true;
	e = ttrpc_client_new(p->loop, p->address, on_close, p, &p->client);
	if (!e)
		return true;
	log_debug("daemon is away", "address", p->address, "error", err_message(e));
	err_free(e);
	return false;
}

static void send_first(struct publisher *p)
{
	struct queued_event *first = event_queue_first(&p->queue);
	Evttrpc__ForwardRequest request = EVTTRPC__FORWARD_REQUEST__INIT;
	autoptr(arena) a = NULL;
	void *envelope;
	struct err *e;

	if (!first) {
		tell_flushed(p);
		return;
	}
	if (p->sending)
		return;
	if (!connect_daemon(p)) {
		retry_later(p);
		return;
	}
	a = arena_new();
	e = message_unpack(&types__envelope__descriptor, first->body, first->len, a, &envelope);
	if (e) { /* packed by us: cannot happen, and must not stop the others */
		err_free(e);
		event_queue_pop(&p->queue);
		return;
	}
	request.envelope = envelope;
	p->sending = true;
	ttrpc_call_async(p->client, p->ns, "containerd.services.events.ttrpc.v1.Events", "Forward",
		&request, &google__protobuf__empty__descriptor, FORWARD_MS, on_forwarded, p);
}

void publisher_send(
	struct publisher *p, const char *topic, const char *subject, const void *message)
{
	autoptr(arena) a = arena_new();
	Types__Envelope envelope = TYPES__ENVELOPE__INIT;
	void *packed;
	size_t len;

	if (!*p->address)
		return;
	envelope.timestamp = timestamp_to_wire(timestamp_now(), a);
	envelope.namespace_ = p->ns;
	envelope.topic = arena_strdup(a, topic);
	envelope.event = message_to_any(message, a);
	packed = message_pack(&envelope, a, &len);
	event_queue_push(&p->queue, topic, subject, packed, len);
	if (p->queue.n == 1)
		send_first(p);
}

void publisher_flush(struct publisher *p, int64_t timeout_ms, void (*done)(void *arg), void *arg)
{
	if (!event_queue_first(&p->queue)) {
		done(arg);
		return;
	}
	p->flushed = done;
	p->flushed_arg = arg;
	loop_timer_set(p->flush_timer, timeout_ms);
}
