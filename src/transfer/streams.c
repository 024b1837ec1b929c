// SPDX-License-Identifier: Apache-2.0
#include "transfer/streams.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/thread.h"

struct streams {
	struct lock lock;
	/* guarded by lock */
	struct map by_name; /* "namespace/id" -> struct stream, borrowed */
	size_t n;
};

struct streams *streams_new(void)
{
	struct streams *t = NEW(struct streams);

	lock_init(&t->lock);
	return t;
}

void streams_free(struct streams *t)
{
	if (!t)
		return;
	assert(t->n == 0);
	map_done(&t->by_name, NULL);
	lock_done(&t->lock);
	free(t);
}

static char *key_of(const char *ns, const char *id)
{
	return xasprintf("%s/%s", ns, id);
}

/* With the lock held. */
static void take_out(struct streams *t, struct stream *s)
{
	autofree char *key = key_of(s->ns, s->id);

	if (s->removed)
		return;
	s->removed = true;
	map_del(&t->by_name, key);
	t->n--;
}

static void close_stream(struct stream *s, struct err *take_e)
{
	autofree char *ns = TAKE(s->ns), *id = TAKE(s->id);

	s->ops->close(s, take_e);
}

struct err *streams_add(struct streams *t, const struct scope *scope, const char *id,
	struct stream *s, struct err *(*started)(struct stream *s))
{
	autofree char *key = NULL;
	struct err *e;

	if (str_empty(id) || strlen(id) > STREAM_ID_MAX)
		return err_new(ERR_INVALID, "a stream needs an id of 1 to %d bytes", STREAM_ID_MAX);
	key = key_of(scope->ns, id);
	LOCKED(&t->lock);
	if (map_get(&t->by_name, key))
		return err_new(ERR_EXISTS, "stream \"%s\": already exists", id);
	if (t->n == STREAMS_MAX)
		return err_new(ERR_EXHAUSTED, "there are %d streams already", STREAMS_MAX);
	e = started(s);
	if (e)
		return e;
	s->ns = xstrdup(scope->ns);
	s->id = xstrdup(id);
	map_set(&t->by_name, key, s);
	t->n++;
	return NULL;
}

struct err *streams_use(
	struct streams *t, const struct scope *scope, const char *id, struct stream **ret)
{
	autofree char *key = key_of(scope->ns, id);
	struct stream *s;

	LOCKED(&t->lock);
	s = map_get(&t->by_name, key);
	if (!s)
		return err_new(ERR_NOT_FOUND, "stream \"%.256s\": not found", id);
	if (s->in_use)
		return err_new(ERR_PRECONDITION, "stream \"%s\" is in use", id);
	s->in_use = true;
	*ret = s;
	return NULL;
}

void streams_end(struct streams *t, struct stream *s)
{
	if (!s)
		return;
	lock_take(&t->lock);
	take_out(t, s);
	lock_drop(&t->lock);
	close_stream(s, NULL);
}

void streams_lost(struct streams *t, struct stream *s)
{
	bool idle;

	lock_take(&t->lock);
	idle = !s->in_use && !s->removed;
	if (idle)
		take_out(t, s);
	lock_drop(&t->lock);
	if (idle)
		close_stream(s, NULL);
}

struct err *stream_read(struct stream *s, const void **ret, size_t *ret_len)
{
	return s->ops->read(s, ret, ret_len);
}

struct err *stream_write(struct stream *s, const void *data, size_t len)
{
	return s->ops->write(s, data, len);
}

void stream_flush(struct stream *s)
{
	s->ops->flush(s);
}

struct err *stream_post(struct stream *s, const struct any *message)
{
	return s->ops->post(s, message);
}

void stream_stop(struct stream *s)
{
	s->ops->stop(s);
}
