// SPDX-License-Identifier: Apache-2.0
#include "content/store.h"

#include <string.h>

#include "base/strv.h"

#define KEY_LEN_MAX 8192

void ingest_status_done(struct ingest_status *s)
{
	free(s->key);
	free(s->expected);
	*s = (struct ingest_status){0};
}

static struct err *check_key(const char *key)
{
	if (str_empty(key))
		return err_new(ERR_INVALID, "ref must not be empty");
	if (strnlen(key, KEY_LEN_MAX + 1) > KEY_LEN_MAX)
		return err_new(ERR_INVALID, "ref is longer than %d bytes", KEY_LEN_MAX);
	return NULL;
}

void content_close(struct content_store *s)
{
	if (s)
		s->ops->destroy(s);
}

struct err *content_open_blob(
	struct content_store *s, const char *digest, int *ret_fd, int64_t *ret_size)
{
	TRY(digest_check(digest));
	return s->ops->open_blob(s, digest, ret_fd, ret_size);
}

struct err *content_remove_blob(struct content_store *s, const char *digest)
{
	TRY(digest_check(digest));
	return s->ops->remove_blob(s, digest);
}

struct err *content_walk(struct content_store *s,
	struct err *(*visit)(const char *digest, int64_t size, void *arg), void *arg)
{
	return s->ops->walk(s, visit, arg);
}

struct err *content_writer_open(
	struct content_store *s, const char *key, int64_t total, struct content_writer **ret)
{
	TRY(check_key(key));
	if (total < 0)
		return err_new(ERR_INVALID, "ref %s: negative total size", key);
	return s->ops->writer_open(s, key, total, ret);
}

struct err *content_status(struct content_store *s, const char *key, struct ingest_status *ret)
{
	TRY(check_key(key));
	return s->ops->status(s, key, ret);
}

struct err *content_abort(struct content_store *s, const char *key)
{
	TRY(check_key(key));
	return s->ops->abort(s, key);
}

struct err *content_walk_ingests(
	struct content_store *s, struct err *(*visit)(const char *key, void *arg), void *arg)
{
	return s->ops->walk_ingests(s, visit, arg);
}

struct err *content_write(struct content_writer *w, const void *data, size_t len)
{
	return len ? w->ops->write(w, data, len) : NULL;
}

struct err *content_truncate(struct content_writer *w, int64_t size)
{
	if (size < 0)
		return err_new(ERR_INVALID, "cannot truncate to a negative size");
	return w->ops->truncate(w, size);
}

struct err *content_commit(struct content_writer *w, int64_t size, const char *expected)
{
	if (str_empty(expected))
		expected = NULL;
	if (expected)
		TRY(digest_check(expected));
	if (size < 0)
		return err_new(ERR_INVALID, "cannot commit a negative size");
	return w->ops->commit(w, size, expected);
}

void content_writer_status(struct content_writer *w, struct ingest_status *ret)
{
	w->ops->status(w, ret);
}

void content_writer_digest(struct content_writer *w, char ret[static DIGEST_MAX])
{
	w->ops->digest(w, ret);
}

void content_writer_close(struct content_writer *w)
{
	if (w)
		w->ops->close(w);
}
