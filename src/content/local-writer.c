// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/strv.h"
#include "content/local-internal.h"
#include "content/verify.h"

#define READ_CHUNK ((size_t)256 * 1024)
/* Handed to the disk in pieces of this size while more comes in, so that the fsync at the end finds
 * little left to do. */
#define WRITE_BEHIND ((int64_t)8 << 20)

struct local_writer {
	struct content_writer base;
	struct local_store *store;
	char *dir;		/* of the ingest */
	int fd;			/* -1 once committed */
	int64_t written_behind; /* bytes the kernel was told to write back */
	struct hasher *hasher;
	struct ingest_status status;
};

static struct local_writer *to_writer(struct content_writer *w)
{
	return container_of(w, struct local_writer, base);
}

static struct err *check_open(const struct local_writer *w)
{
	if (w->fd >= 0)
		return NULL;
	return err_new(ERR_PRECONDITION, "cannot write to closed writer: failed precondition");
}

static void write_behind(struct local_writer *w)
{
	int64_t size = w->status.offset - w->written_behind;

	if (size < WRITE_BEHIND)
		return;
	sync_file_range(w->fd, w->written_behind, size, SYNC_FILE_RANGE_WRITE);
	w->written_behind = w->status.offset;
}

static struct err *local_write(struct content_writer *base, const void *data, size_t len)
{
	struct local_writer *w = to_writer(base);
	int r;

	TRY(check_open(w));
	r = write_full(w->fd, data, len);
	if (r < 0) {
		/* Drop what came through of this piece: file, hash and offset stay in step. */
		if (ftruncate(w->fd, w->status.offset) < 0 ||
			lseek(w->fd, w->status.offset, SEEK_SET) < 0)
			return err_sys(errno, "ingest %s: take back", w->status.key);
		return err_sys(-r, "ingest %s: write", w->status.key);
	}
	hasher_add(w->hasher, data, len);
	w->status.offset += (int64_t)len;
	w->status.updated_at = timestamp_now();
	write_behind(w);
	return NULL;
}

/* Hash the file from its beginning to `size` or its end, and go on writing there. */
static struct err *rehash(struct local_writer *w, int64_t size)
{
	autofree uint8_t *chunk = xmalloc(READ_CHUNK);

	hasher_free(w->hasher);
	w->hasher = hasher_new();
	w->status.offset = 0;
	while (w->status.offset < size) {
		size_t want = (size_t)MIN((int64_t)READ_CHUNK, size - w->status.offset);
		ssize_t n = pread(w->fd, chunk, want, w->status.offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(errno, "ingest %s: read", w->status.key);
		if (n == 0)
			break;
		hasher_add(w->hasher, chunk, (size_t)n);
		w->status.offset += n;
	}
	w->written_behind = w->status.offset;
	if (lseek(w->fd, w->status.offset, SEEK_SET) < 0)
		return err_sys(errno, "ingest %s: seek", w->status.key);
	return NULL;
}

static struct err *local_truncate(struct content_writer *base, int64_t size)
{
	struct local_writer *w = to_writer(base);

	TRY(check_open(w));
	if (size > w->status.offset)
		return err_new(ERR_RANGE, "cannot truncate ref %s to %lld bytes, it has %lld",
			w->status.key, (long long)size, (long long)w->status.offset);
	if (ftruncate(w->fd, size) < 0)
		return err_sys(errno, "ingest %s: truncate", w->status.key);
	w->status.updated_at = timestamp_now();
	return rehash(w, size);
}

/* All of it there, with the time of the commit, and on disk. */
static struct err *settle(const struct local_writer *w)
{
	static const struct timespec now[] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
	struct stat st;

	if (fstat(w->fd, &st) < 0)
		return err_sys(errno, "ingest %s: stat", w->status.key);
	if (st.st_size != w->status.offset)
		return err_new(ERR_INTERNAL, "ingest %s: %lld bytes were written, %lld are there",
			w->status.key, (long long)w->status.offset, (long long)st.st_size);
	if (futimens(w->fd, now) < 0 || fsync(w->fd) < 0)
		return err_sys(errno, "ingest %s: sync", w->status.key);
	return NULL;
}

/* A blob of the right length is there; one of another length is a wreck and is replaced. */
static bool is_there(const char *path, int64_t size)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_size == size;
}

static struct err *give_name(struct local_writer *w, const char *digest)
{
	autofree char *path = local_blob_path(w->store, digest);
	autofree char *dir = path_dir(path);
	autofree char *data = path_join(w->dir, "data");
	struct stat st;

	if (is_there(path, w->status.offset)) {
		TRY(remove_tree(w->dir));
		return content_exists(digest);
	}
	TRY(settle(w));
	if (stat(dir, &st) < 0) {
		autofree char *blobs = path_dir(dir);

		TRY(mkdir_p(dir, 0755));
		TRY(dir_sync(blobs));
	}
	if (rename(data, path) < 0)
		return err_sys(errno, "ingest %s: name blob %s", w->status.key, digest);
	if (fstat(w->fd, &st) == 0)
		fchmod(w->fd, st.st_mode & 0444);
	TRY(dir_sync(dir));
	/* The blob counts; what is left of the ingest is swept at the next start. */
	err_free(remove_tree(w->dir));
	return NULL;
}

static void release(struct local_writer *w)
{
	if (w->fd < 0)
		return;
	close(TAKE_FD(w->fd));
	local_unlock(w->store, w->status.key);
}

static struct err *finish(struct local_writer *w, int64_t size, const char *expected)
{
	char digest[DIGEST_MAX];

	hasher_digest(w->hasher, digest);
	if (size == 0 || size == w->status.offset)
		TRY(verify_algorithm(w->fd, expected, digest));
	TRY(verify_commit(w->status.offset, size, digest, expected));
	return give_name(w, digest);
}

static struct err *local_commit(struct content_writer *base, int64_t size, const char *expected)
{
	struct local_writer *w = to_writer(base);
	struct err *e;

	if (w->fd < 0)
		return err_new(
			ERR_PRECONDITION, "cannot commit on closed writer: failed precondition");
	e = finish(w, size, expected);
	release(w);
	return e;
}

static void local_status(struct content_writer *base, struct ingest_status *ret)
{
	const struct ingest_status *s = &to_writer(base)->status;

	*ret = *s;
	ret->key = xstrdup(s->key);
	ret->expected = NULL;
}

static void local_digest(struct content_writer *base, char ret[static DIGEST_MAX])
{
	hasher_digest(to_writer(base)->hasher, ret);
}

static void local_close(struct content_writer *base)
{
	struct local_writer *w = to_writer(base);

	/* Whoever resumes after a crash finds what was written. An ingest that was aborted meanwhile
	 * stays away. */
	if (w->fd >= 0) {
		fdatasync(w->fd);
		err_free(ingest_touch(w->dir, w->status.updated_at));
	}
	release(w);
	hasher_free(w->hasher);
	ingest_status_done(&w->status);
	free(w->dir);
	free(w);
}

static const struct content_writer_ops local_writer_ops = {
	.write = local_write,
	.truncate = local_truncate,
	.commit = local_commit,
	.status = local_status,
	.digest = local_digest,
	.close = local_close,
};

static struct err *open_data(struct local_writer *w, const char *key, int64_t total)
{
	autofree char *data = path_join(w->dir, "data");

	TRY(ingest_prepare(w->dir, key, total, &w->status));
	w->fd = open(data, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (w->fd < 0)
		return err_sys(errno, "ingest %s: open its data", key);
	return rehash(w, INT64_MAX);
}

struct err *local_writer_open(
	struct content_store *s, const char *key, int64_t total, struct content_writer **ret)
{
	struct local_writer *w = NEW(struct local_writer);
	struct err *e;

	w->base.ops = &local_writer_ops;
	w->store = to_local(s);
	w->dir = ingest_dir(w->store, key);
	w->fd = -1;
	w->hasher = hasher_new();
	e = open_data(w, key, total);
	if (e) {
		if (w->fd >= 0)
			close(TAKE_FD(w->fd));
		local_close(&w->base);
		return e;
	}
	*ret = &w->base;
	return NULL;
}
