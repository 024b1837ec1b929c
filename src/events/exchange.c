// SPDX-License-Identifier: Apache-2.0
#include "events/exchange.h"

#include "base/alloc.h"
#include "base/identifier.h"
#include "base/list.h"
#include "base/strv.h"
#include "base/thread.h"

#define SCRATCH_BYTES 4096

struct exchange {
	event_field_fn field;
	/* Held while an event is delivered: it gives all subscribers the same order, and who holds it
	 * knows that no delivery is under way. */
	struct lock lock;
	struct list subscriptions; /* of struct subscription, owned; guarded by lock */
};

struct subscription {
	struct exchange *exchange;
	struct list node;
	struct filter *filter; /* NULL: everything */
	event_deliver_fn deliver;
	void *arg;
};

struct exchange *exchange_new(void)
{
	struct exchange *x = NEW(struct exchange);

	lock_init(&x->lock);
	list_init(&x->subscriptions);
	return x;
}

static void subscription_free(struct subscription *s)
{
	list_remove(&s->node);
	filter_free(s->filter);
	free(s);
}

void exchange_free(struct exchange *x)
{
	if (!x)
		return;
	list_each(struct subscription, s, &x->subscriptions, node) subscription_free(s);
	lock_done(&x->lock);
	free(x);
}

void exchange_set_fields(struct exchange *x, event_field_fn field)
{
	x->field = field;
}

/* --- what may be published --- */

static struct err *check_components(const char *topic)
{
	autoval(strv) parts = STRV_INIT;

	strv_split(&parts, topic + 1, '/');
	for (size_t i = 0; i < parts.n; i++)
		TRY(err_wrap(identifier_check(parts.items[i]),
			"failed validation on component \"%s\"", parts.items[i]));
	return NULL;
}

static struct err *check_topic(const char *topic)
{
	if (str_empty(topic))
		return err_new(ERR_INVALID, "must not be empty: invalid argument");
	if (*topic != '/')
		return err_new(ERR_INVALID, "must start with '/': invalid argument");
	if (!topic[1])
		return err_new(ERR_INVALID, "must have at least one component: invalid argument");
	return check_components(topic);
}

/* --- delivery --- */

struct subject {
	const struct exchange *exchange;
	const struct event *event;
	char scratch[SCRATCH_BYTES];
};

/* namespace, topic, event.<field of the payload> */
static const char *event_field(void *object, char *const *path, size_t n, bool *ret_present)
{
	struct subject *s = object;
	const char *value = NULL;

	if (n && str_eq(path[0], "namespace"))
		value = s->event->ns;
	else if (n && str_eq(path[0], "topic"))
		value = s->event->topic;
	else if (n > 1 && str_eq(path[0], "event") && s->exchange->field)
		value = s->exchange->field(
			&s->event->payload, path + 1, n - 1, s->scratch, sizeof(s->scratch));
	*ret_present = !str_empty(value);
	return value;
}

static void deliver(struct exchange *x, const struct event *e)
{
	struct subject subject = {.exchange = x, .event = e};

	LOCKED(&x->lock);
	list_each(struct subscription, s, &x->subscriptions, node)
	{
		if (s->filter && !filter_match(s->filter, event_field, &subject))
			continue;
		if (!s->deliver(s->arg, e))
			subscription_free(s);
	}
}

struct err *exchange_publish(
	struct exchange *x, const char *ns, const char *topic, const struct any *payload)
{
	struct event e = {.at = timestamp_now(),
		.ns = (char *)ns,
		.topic = (char *)topic,
		.payload = *payload};

	if (str_empty(ns))
		return err_new(ERR_PRECONDITION, "failed publishing event: namespace is required: "
						 "failed precondition");
	TRY(err_wrap(identifier_check(ns), "failed publishing event: namespace validation"));
	TRY(err_wrap(check_topic(topic), "envelope topic \"%s\"", str_or(topic, "")));
	deliver(x, &e);
	return NULL;
}

struct err *exchange_forward(struct exchange *x, struct timestamp at, const char *ns,
	const char *topic, const struct any *payload)
{
	struct event e = {.at = at, .ns = (char *)ns, .topic = (char *)topic, .payload = *payload};

	TRY(err_wrap(identifier_check(ns), "event envelope has invalid namespace"));
	TRY(err_wrap(check_topic(topic), "envelope topic \"%s\"", str_or(topic, "")));
	if (timestamp_is_zero(at))
		return err_new(
			ERR_INVALID, "timestamp must be set on forwarded event: invalid argument");
	deliver(x, &e);
	return NULL;
}

/* --- subscriptions --- */

struct err *exchange_subscribe(struct exchange *x, char *const *filters, size_t n_filters,
	event_deliver_fn deliver_fn, void *arg, struct subscription **ret)
{
	struct filter *filter = NULL;
	struct subscription *s;

	if (n_filters)
		TRY(err_wrap(filter_parse(filters, n_filters, &filter),
			"failed parsing subscription filters"));
	s = NEW(struct subscription);
	*s = (struct subscription){
		.exchange = x, .filter = filter, .deliver = deliver_fn, .arg = arg};
	/* Before the first delivery can happen: whoever is told to end may need the handle. */
	*ret = s;
	LOCKED(&x->lock);
	list_append(&x->subscriptions, &s->node);
	return NULL;
}

void subscription_end(struct subscription *s)
{
	struct exchange *x = s ? s->exchange : NULL;

	if (!s)
		return;
	LOCKED(&x->lock);
	subscription_free(s);
}
