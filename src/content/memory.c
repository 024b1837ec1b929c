// SPDX-License-Identifier: Apache-2.0
/* A store in memory, for tests of what stands above. */
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/map.h"
#include "base/strv.h"
#include "base/thread.h"
#include "content/store.h"

#define BLOB_MAX ((size_t)64 << 20)

struct ingest {
	struct buf data;
	int64_t total;
	bool open;
	struct timestamp started_at, updated_at;
};

struct memory {
	struct content_store base;
	struct lock lock;
	struct map blobs;   /* digest -> struct buf, owned; guarded by lock */
	struct map ingests; /* key -> struct ingest, owned; guarded by lock */
};

struct memory_writer {
	struct content_writer base;
	struct memory *store;
	char *key;
	struct ingest *ingest; /* of the store; nobody else changes it while we are open */
};

static struct memory *to_memory(struct content_store *s)
{
	return container_of(s, struct memory, base);
}

static struct memory_writer *to_writer(struct content_writer *w)
{
	return container_of(w, struct memory_writer, base);
}

static void free_blob(void *value)
{
	buf_done(value);
	free(value);
}

static void free_ingest(void *value)
{
	struct ingest *i = value;

	if (!i)
		return;
	buf_done(&i->data);
	free(i);
}

static struct err *memory_open_blob(
	struct content_store *s, const char *digest, int *ret_fd, int64_t *ret_size)
{
	struct memory *m = to_memory(s);
	const struct buf *b;
	autofd fd = -1;

	LOCKED(&m->lock);
	b = map_get(&m->blobs, digest);
	if (!b)
		return err_new(ERR_NOT_FOUND, "content %s: not found", digest);
	fd = memfd_create("blob", MFD_CLOEXEC);
	if (fd < 0 || write_full(fd, b->data, b->len) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_new(ERR_INTERNAL, "no memory file for %s", digest);
	*ret_fd = TAKE_FD(fd);
	*ret_size = (int64_t)b->len;
	return NULL;
}

static struct err *memory_remove_blob(struct content_store *s, const char *digest)
{
	struct memory *m = to_memory(s);
	struct buf *b;

	LOCKED(&m->lock);
	b = map_del(&m->blobs, digest);
	if (!b)
		return err_new(ERR_NOT_FOUND, "content %s: not found", digest);
	free_blob(b);
	return NULL;
}

/* The keys, so that a visitor may change the store. */
static void keys_of(struct memory *m, const struct map *map, struct strv *ret)
{
	const char *key;

	LOCKED(&m->lock);
	for (size_t i = 0; map_next(map, &i, &key, NULL);)
		strv_add(ret, key);
}

static struct err *memory_walk(struct content_store *s,
	struct err *(*visit)(const char *digest, int64_t size, void *arg), void *arg)
{
	struct memory *m = to_memory(s);
	autoval(strv) keys = STRV_INIT;

	keys_of(m, &m->blobs, &keys);
	for (size_t i = 0; i < keys.n; i++) {
		const struct buf *b;
		int64_t size;

		lock_take(&m->lock);
		b = map_get(&m->blobs, keys.items[i]);
		size = b ? (int64_t)b->len : -1;
		lock_drop(&m->lock);
		if (size >= 0)
			TRY(visit(keys.items[i], size, arg));
	}
	return NULL;
}

static struct err *memory_walk_ingests(
	struct content_store *s, struct err *(*visit)(const char *key, void *arg), void *arg)
{
	struct memory *m = to_memory(s);
	autoval(strv) keys = STRV_INIT;

	keys_of(m, &m->ingests, &keys);
	for (size_t i = 0; i < keys.n; i++)
		TRY(visit(keys.items[i], arg));
	return NULL;
}

static void fill_status(const struct ingest *i, const char *key, struct ingest_status *ret)
{
	*ret = (struct ingest_status){
		.key = xstrdup(key),
		.offset = (int64_t)i->data.len,
		.total = i->total,
		.started_at = i->started_at,
		.updated_at = i->updated_at,
	};
}

static struct err *memory_status(
	struct content_store *s, const char *key, struct ingest_status *ret)
{
	struct memory *m = to_memory(s);
	const struct ingest *i;

	LOCKED(&m->lock);
	i = map_get(&m->ingests, key);
	if (!i)
		return err_new(ERR_NOT_FOUND, "ingest ref \"%s\": not found", key);
	fill_status(i, key, ret);
	return NULL;
}

static struct err *memory_abort(struct content_store *s, const char *key)
{
	struct memory *m = to_memory(s);
	struct ingest *i;

	LOCKED(&m->lock);
	i = map_get(&m->ingests, key);
	if (!i)
		return err_new(ERR_NOT_FOUND, "ingest ref \"%s\": not found", key);
	if (i->open)
		return err_new(ERR_UNAVAILABLE, "ref %s locked: unavailable", key);
	free_ingest(map_del(&m->ingests, key));
	return NULL;
}

/* --- the writer --- */

static struct err *memory_write(struct content_writer *base, const void *data, size_t len)
{
	struct memory_writer *w = to_writer(base);

	LOCKED(&w->store->lock);
	w->ingest->updated_at = timestamp_now();
	if (buf_append(&w->ingest->data, data, len))
		return NULL;
	return err_new(ERR_EXHAUSTED, "ingest %s: larger than %zu bytes", w->key, BLOB_MAX);
}

static struct err *memory_truncate(struct content_writer *base, int64_t size)
{
	struct memory_writer *w = to_writer(base);

	LOCKED(&w->store->lock);
	if ((size_t)size > w->ingest->data.len)
		return err_new(
			ERR_RANGE, "ingest %s has only %zu bytes", w->key, w->ingest->data.len);
	w->ingest->data.len = (size_t)size;
	return NULL;
}

static void memory_writer_status(struct content_writer *base, struct ingest_status *ret)
{
	struct memory_writer *w = to_writer(base);

	LOCKED(&w->store->lock);
	fill_status(w->ingest, w->key, ret);
}

static void digest_like(const struct buf *b, const char *like, char ret[static DIGEST_MAX])
{
	autoptr(hasher) h = hasher_new_like(like);

	hasher_add(h, b->data, b->len);
	hasher_digest(h, ret);
}

static void memory_digest(struct content_writer *base, char ret[static DIGEST_MAX])
{
	struct memory_writer *w = to_writer(base);

	LOCKED(&w->store->lock);
	digest_like(&w->ingest->data, NULL, ret);
}

static void writer_free(struct memory_writer *w)
{
	free(w->key);
	free(w);
}

static void memory_close(struct content_writer *base)
{
	struct memory_writer *w = to_writer(base);

	lock_take(&w->store->lock);
	w->ingest->open = false;
	lock_drop(&w->store->lock);
	writer_free(w);
}

static struct err *verify(
	const struct ingest *i, int64_t size, const char *expected, char digest[static DIGEST_MAX])
{
	if (size > 0 && (size_t)size != i->data.len)
		return err_new(ERR_PRECONDITION,
			"unexpected commit size %zu, expected %lld: failed precondition",
			i->data.len, (long long)size);
	digest_like(&i->data, expected, digest);
	if (expected && !str_eq(expected, digest))
		return err_new(ERR_PRECONDITION,
			"unexpected commit digest %s, expected %s: failed precondition", digest,
			expected);
	return NULL;
}

static struct err *memory_commit(struct content_writer *base, int64_t size, const char *expected)
{
	struct memory_writer *w = to_writer(base);
	struct memory *m = w->store;
	char digest[DIGEST_MAX];
	struct err *e;

	lock_take(&m->lock);
	w->ingest->open = false;
	e = verify(w->ingest, size, expected, digest);
	if (!e) {
		struct ingest *i = map_del(&m->ingests, w->key);

		if (map_get(&m->blobs, digest)) {
			e = err_new(ERR_EXISTS, "content %s: already exists", digest);
		} else {
			struct buf *blob = NEW(struct buf);

			*blob = i->data;
			i->data = BUF_INIT(0);
			map_set(&m->blobs, digest, blob);
		}
		free_ingest(i);
	}
	lock_drop(&m->lock);
	writer_free(w);
	return e;
}

static const struct content_writer_ops writer_ops = {
	.write = memory_write,
	.truncate = memory_truncate,
	.commit = memory_commit,
	.status = memory_writer_status,
	.digest = memory_digest,
	.close = memory_close,
};

static struct ingest *ingest_new(int64_t total)
{
	struct ingest *i = NEW(struct ingest);

	i->data = BUF_INIT(BLOB_MAX);
	i->total = total;
	i->started_at = i->updated_at = timestamp_now();
	return i;
}

static struct err *memory_writer_open(
	struct content_store *s, const char *key, int64_t total, struct content_writer **ret)
{
	struct memory *m = to_memory(s);
	struct memory_writer *w;
	struct ingest *i;

	LOCKED(&m->lock);
	i = map_get(&m->ingests, key);
	if (i && i->open)
		return err_new(ERR_UNAVAILABLE, "ref %s locked: unavailable", key);
	if (i && total > 0 && i->total > 0 && i->total != total)
		return err_new(ERR_UNKNOWN, "provided total differs from status: %lld != %lld",
			(long long)total, (long long)i->total);
	if (!i)
		map_set(&m->ingests, key, i = ingest_new(total));
	i->open = true;
	w = NEW(struct memory_writer);
	w->base.ops = &writer_ops;
	w->store = m;
	w->key = xstrdup(key);
	w->ingest = i;
	*ret = &w->base;
	return NULL;
}

static void memory_destroy(struct content_store *s)
{
	struct memory *m = to_memory(s);

	map_done(&m->blobs, free_blob);
	map_done(&m->ingests, free_ingest);
	lock_done(&m->lock);
	free(m);
}

static const struct content_store_ops memory_ops = {
	.open_blob = memory_open_blob,
	.remove_blob = memory_remove_blob,
	.walk = memory_walk,
	.writer_open = memory_writer_open,
	.status = memory_status,
	.abort = memory_abort,
	.walk_ingests = memory_walk_ingests,
	.destroy = memory_destroy,
};

struct err *content_memory_open(struct content_store **ret)
{
	struct memory *m = NEW(struct memory);

	m->base.ops = &memory_ops;
	lock_init(&m->lock);
	*ret = &m->base;
	return NULL;
}
