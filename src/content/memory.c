// SPDX-License-Identifier: Apache-2.0
/* A store without files, for tests: data lives in memfds, everything else in two maps. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/map.h"
#include "base/strv.h"
#include "base/thread.h"
#include "content/store.h"
#include "content/verify.h"

struct ingest {
	struct ingest_status status;
	int fd;
	bool is_open, is_aborted;
};

struct memory_store {
	struct content_store base;
	struct lock lock;   /* guards the maps and all in them */
	struct map blobs;   /* digest -> int *, owned: a descriptor of the data */
	struct map ingests; /* key -> struct ingest, owned */
};

struct memory_writer {
	struct content_writer base;
	struct memory_store *store;
	struct ingest *ingest; /* NULL once committed */
};

static struct memory_store *to_memory(struct content_store *s)
{
	return container_of(s, struct memory_store, base);
}

static struct memory_writer *to_writer(struct content_writer *w)
{
	return container_of(w, struct memory_writer, base);
}

static void blob_free(void *blob)
{
	close(*(int *)blob);
	free(blob);
}

static void ingest_free(void *arg)
{
	struct ingest *i = arg;

	ingest_status_done(&i->status);
	if (i->fd >= 0)
		close(i->fd);
	free(i);
}

/* A descriptor with a position of its own. */
static struct err *reopen(int fd, int flags, int *ret)
{
	autofree char *path = xasprintf("/proc/self/fd/%d", fd);

	*ret = open(path, flags | O_CLOEXEC);
	return *ret < 0 ? err_sys(errno, "reopen") : NULL;
}

static int64_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : st.st_size;
}

static struct err *memory_open_blob(
	struct content_store *base, const char *digest, int *ret_fd, int64_t *ret_size)
{
	struct memory_store *s = to_memory(base);
	int *blob;

	LOCKED(&s->lock);
	blob = map_get(&s->blobs, digest);
	if (!blob)
		return content_not_found(digest);
	*ret_size = size_of(*blob);
	return reopen(*blob, O_RDONLY, ret_fd);
}

static struct err *memory_remove_blob(struct content_store *base, const char *digest)
{
	struct memory_store *s = to_memory(base);
	int *blob;

	LOCKED(&s->lock);
	blob = map_del(&s->blobs, digest);
	if (!blob)
		return content_not_found(digest);
	blob_free(blob);
	return NULL;
}

static void copy_keys(struct memory_store *s, const struct map *map, struct strv *ret)
{
	const char *key;
	void *value;

	LOCKED(&s->lock);
	for (size_t i = 0; map_next(map, &i, &key, &value);)
		strv_add(ret, key);
}

static struct err *memory_walk(struct content_store *base,
	struct err *(*visit)(const char *digest, int64_t size, void *arg), void *arg)
{
	struct memory_store *s = to_memory(base);
	autoval(strv) digests = STRV_INIT;

	copy_keys(s, &s->blobs, &digests);
	for (size_t i = 0; i < digests.n; i++) {
		int64_t size;
		int fd;

		TRY(memory_open_blob(base, digests.items[i], &fd, &size));
		close(fd);
		TRY(visit(digests.items[i], size, arg));
	}
	return NULL;
}

static void copy_status(const struct ingest_status *from, struct ingest_status *ret)
{
	*ret = *from;
	ret->key = xstrdup(from->key);
	ret->expected = NULL;
}

static struct err *memory_status(
	struct content_store *base, const char *key, struct ingest_status *ret)
{
	struct memory_store *s = to_memory(base);
	const struct ingest *i;

	LOCKED(&s->lock);
	i = map_get(&s->ingests, key);
	if (!i)
		return ingest_not_found(key);
	copy_status(&i->status, ret);
	return NULL;
}

static struct err *memory_abort(struct content_store *base, const char *key)
{
	struct memory_store *s = to_memory(base);
	struct ingest *i;

	LOCKED(&s->lock);
	i = map_del(&s->ingests, key);
	if (!i)
		return ingest_not_found(key);
	/* Its writer frees it. */
	i->is_aborted = true;
	if (!i->is_open)
		ingest_free(i);
	return NULL;
}

static struct err *memory_walk_ingests(
	struct content_store *base, struct err *(*visit)(const char *key, void *arg), void *arg)
{
	struct memory_store *s = to_memory(base);
	autoval(strv) keys = STRV_INIT;

	copy_keys(s, &s->ingests, &keys);
	for (size_t i = 0; i < keys.n; i++)
		TRY(visit(keys.items[i], arg));
	return NULL;
}

static void memory_destroy(struct content_store *base)
{
	struct memory_store *s = to_memory(base);

	map_done(&s->blobs, blob_free);
	map_done(&s->ingests, ingest_free);
	lock_done(&s->lock);
	free(s);
}

static struct err *memory_write(struct content_writer *base, const void *data, size_t len)
{
	struct ingest *i = to_writer(base)->ingest;
	int r;

	if (!i)
		return err_new(
			ERR_PRECONDITION, "cannot write to closed writer: failed precondition");
	r = write_full(i->fd, data, len);
	if (r < 0)
		return err_sys(-r, "ingest %s: write", i->status.key);
	LOCKED(&to_writer(base)->store->lock);
	i->status.offset += (int64_t)len;
	i->status.updated_at = timestamp_now();
	return NULL;
}

static struct err *memory_truncate(struct content_writer *base, int64_t size)
{
	struct ingest *i = to_writer(base)->ingest;

	if (!i)
		return err_new(
			ERR_PRECONDITION, "cannot write to closed writer: failed precondition");
	if (size > i->status.offset)
		return err_new(ERR_RANGE, "cannot truncate ref %s to %" PRId64 " bytes",
			i->status.key, size);
	if (ftruncate(i->fd, size) < 0 || lseek(i->fd, size, SEEK_SET) < 0)
		return err_sys(errno, "ingest %s: truncate", i->status.key);
	LOCKED(&to_writer(base)->store->lock);
	i->status.offset = size;
	return NULL;
}

static void digest_of_file(int fd, char ret[static DIGEST_MAX])
{
	autoptr(hasher) h = hasher_new();
	uint8_t chunk[4096];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, chunk, sizeof(chunk), at)) > 0) {
		hasher_add(h, chunk, (size_t)n);
		at += n;
	}
	hasher_digest(h, ret);
}

/* The lock is held. */
static struct err *finish(
	struct memory_store *s, struct ingest *i, int64_t size, const char *expected)
{
	char digest[DIGEST_MAX];
	bool exists;

	digest_of_file(i->fd, digest);
	TRY(verify_algorithm(i->fd, expected, digest));
	TRY(verify_commit(i->status.offset, size, digest, expected));
	if (i->is_aborted)
		return ingest_not_found(i->status.key);
	exists = map_get(&s->blobs, digest) != NULL;
	if (!exists) {
		map_set(&s->blobs, digest, xmemdup(&i->fd, sizeof(i->fd)));
		i->fd = -1;
	}
	map_del(&s->ingests, i->status.key);
	i->is_aborted = true;
	return exists ? content_exists(digest) : NULL;
}

static void release(struct memory_writer *w)
{
	struct ingest *i = TAKE(w->ingest);

	if (!i)
		return;
	i->is_open = false;
	if (i->is_aborted)
		ingest_free(i);
}

static struct err *memory_commit(struct content_writer *base, int64_t size, const char *expected)
{
	struct memory_writer *w = to_writer(base);
	struct err *e;

	LOCKED(&w->store->lock);
	if (!w->ingest)
		return err_new(
			ERR_PRECONDITION, "cannot commit on closed writer: failed precondition");
	e = finish(w->store, w->ingest, size, expected);
	release(w);
	return e;
}

static void memory_writer_status(struct content_writer *base, struct ingest_status *ret)
{
	struct memory_writer *w = to_writer(base);

	LOCKED(&w->store->lock);
	*ret = (struct ingest_status){0};
	if (w->ingest)
		copy_status(&w->ingest->status, ret);
}

static void memory_digest(struct content_writer *base, char ret[static DIGEST_MAX])
{
	struct ingest *i = to_writer(base)->ingest;

	if (i)
		digest_of_file(i->fd, ret);
	else
		digest_of("", 0, ret);
}

static void memory_close(struct content_writer *base)
{
	struct memory_writer *w = to_writer(base);

	lock_take(&w->store->lock);
	release(w);
	lock_drop(&w->store->lock);
	free(w);
}

static const struct content_writer_ops memory_writer_ops = {
	.write = memory_write,
	.truncate = memory_truncate,
	.commit = memory_commit,
	.status = memory_writer_status,
	.digest = memory_digest,
	.close = memory_close,
};

static struct err *new_ingest(const char *key, int64_t total, struct ingest **ret)
{
	int fd = memfd_create("ingest", MFD_CLOEXEC);
	struct ingest *i;

	if (fd < 0)
		return err_sys(errno, "create a file in memory");
	i = NEW(struct ingest);
	i->fd = fd;
	i->status.key = xstrdup(key);
	i->status.total = total;
	i->status.started_at = i->status.updated_at = timestamp_now();
	*ret = i;
	return NULL;
}

static struct err *memory_writer_open(
	struct content_store *base, const char *key, int64_t total, struct content_writer **ret)
{
	struct memory_store *s = to_memory(base);
	struct memory_writer *w;
	struct ingest *i;

	LOCKED(&s->lock);
	i = map_get(&s->ingests, key);
	if (i && i->is_open)
		return err_new(ERR_UNAVAILABLE, "ref %s locked: unavailable", key);
	if (i && total && i->status.total && i->status.total != total) {
		map_del(&s->ingests, key);
		ingest_free(i);
		i = NULL;
	}
	if (!i) {
		TRY(new_ingest(key, total, &i));
		map_set(&s->ingests, key, i);
	}
	i->is_open = true;
	w = NEW(struct memory_writer);
	w->base.ops = &memory_writer_ops;
	w->store = s;
	w->ingest = i;
	*ret = &w->base;
	return NULL;
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
	struct memory_store *s = NEW(struct memory_store);

	s->base.ops = &memory_ops;
	lock_init(&s->lock);
	*ret = &s->base;
	return NULL;
}
