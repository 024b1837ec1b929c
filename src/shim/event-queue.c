// SPDX-License-Identifier: Apache-2.0
#include "shim/event-queue.h"

#include <string.h>

#include "base/alloc.h"

void event_queue_init(struct event_queue *q, size_t max)
{
	*q = (struct event_queue){.max = max};
	list_init(&q->events);
}

static void drop(struct event_queue *q, struct queued_event *e)
{
	list_remove(&e->node);
	q->n--;
	free(e->topic);
	free(e->subject);
	free(e);
}

void event_queue_done(struct event_queue *q)
{
	while (!list_empty(&q->events))
		drop(q, list_first(&q->events, struct queued_event, node));
}

static bool superseded(const struct event_queue *q, const struct queued_event *e)
{
	for (struct list *l = e->node.next; l != &q->events; l = l->next)
		if (!strcmp(container_of(l, struct queued_event, node)->subject, e->subject))
			return true;
	return false;
}

/* The first may be on the wire and is left alone. When every event is the last of its process the
 * queue grows: by no more than there are processes. */
static void make_room(struct event_queue *q)
{
	struct queued_event *first = event_queue_first(q);

	list_each(struct queued_event, e, &q->events, node)
	{
		if (e == first || !superseded(q, e))
			continue;
		drop(q, e);
		q->dropped++;
		return;
	}
}

void event_queue_push(
	struct event_queue *q, const char *topic, const char *subject, const void *body, size_t len)
{
	struct queued_event *e = xmalloc(sizeof(*e) + len);

	*e = (struct queued_event){
		.topic = xstrdup(topic), .subject = xstrdup(subject), .len = len};
	memcpy(e->body, body, len);
	list_append(&q->events, &e->node);
	q->n++;
	if (q->n > q->max)
		make_room(q);
}

struct queued_event *event_queue_first(struct event_queue *q)
{
	return list_empty(&q->events) ? NULL : list_first(&q->events, struct queued_event, node);
}

void event_queue_pop(struct event_queue *q)
{
	drop(q, list_first(&q->events, struct queued_event, node));
}
