// SPDX-License-Identifier: Apache-2.0
/* Blobs and ingests as files, in containerd's layout. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/map.h"
#include "base/strv.h"
#include "base/thread.h"
#include "content/store.h"

#define READ_BYTES ((size_t)256 * 1024)
/* Written data is pushed to the disk behind the writer in pieces of this size, so that the sync at
 * the end has little left to do. */
#define WRITE_BEHIND ((int64_t)8 << 20)
#define SMALL_FILE_MAX ((size_t)8192)

struct local {
	struct content_store base;
	char *root;
	struct lock lock;
	struct map writers; /* key -> its struct local_writer; guarded by lock */
};

struct local_writer {
	struct content_writer base;
	struct local *store;
	char *key, *dir; /* of the ingest */
	int fd;
	struct hasher *hasher;
	int64_t offset, total, pushed;
	struct timestamp started_at, updated_at;
};

static struct local *to_local(struct content_store *s)
{
	return container_of(s, struct local, base);
}

static struct local_writer *to_writer(struct content_writer *w)
{
	return container_of(w, struct local_writer, base);
}

static char *blob_path(const struct local *l, const char *digest)
{
	const char *hex = digest_hex(digest);

	return xasprintf("%s/blobs/%.*s/%s", l->root, (int)(hex - digest - 1), digest, hex);
}

static char *ingest_dir(const struct local *l, const char *key)
{
	char hex[65];

	sha256_hex(key, strlen(key), hex);
	return xasprintf("%s/ingest/%s", l->root, hex);
}

/* --- blobs --- */

static struct err *not_found(const char *digest)
{
	return err_new(ERR_NOT_FOUND, "content %s: not found", digest);
}

static struct err *local_open_blob(
	struct content_store *s, const char *digest, int *ret_fd, int64_t *ret_size)
{
	autofree char *path = blob_path(to_local(s), digest);
	autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return not_found(digest);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(errno, "open content %s", digest);
	if (!S_ISREG(st.st_mode))
		return err_new(ERR_DATA_LOSS, "content %s is not a file", digest);
	*ret_fd = TAKE_FD(fd);
	*ret_size = st.st_size;
	return NULL;
}

static struct err *local_remove_blob(struct content_store *s, const char *digest)
{
	autofree char *path = blob_path(to_local(s), digest);

	if (unlink(path) == 0)
		return NULL;
	return errno == ENOENT ? not_found(digest) : err_sys(errno, "remove content %s", digest);
}

/* --- small files of an ingest --- */

static struct err *put(const char *dir, const char *name, const char *text)
{
	autofree char *path = path_join(dir, name);

	return file_write_atomic(path, text, strlen(text), 0644, false);
}

static struct err *put_time(const char *dir, const char *name, struct timestamp t)
{
	char text[TIMESTAMP_TEXT];

	timestamp_format(t, text);
	return put(dir, name, text);
}

/* NULL when it is not there. */
static struct err *get(const char *dir, const char *name, char **ret)
{
	autofree char *path = path_join(dir, name);
	size_t len;
	struct err *e = file_read(path, SMALL_FILE_MAX, ret, &len);

	if (!err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	*ret = NULL;
	return NULL;
}

static struct err *get_time(const char *dir, const char *name, struct timestamp *ret)
{
	autofree char *text = NULL;

	TRY(get(dir, name, &text));
	*ret = (struct timestamp){0};
	return text ? timestamp_parse(text, ret) : NULL;
}

static struct err *get_total(const char *dir, int64_t *ret)
{
	autofree char *text = NULL;

	TRY(get(dir, "total", &text));
	*ret = text ? strtoll(text, NULL, 10) : 0;
	return NULL;
}

/* --- ingests --- */

static struct err *no_ingest(const char *key)
{
	return err_new(ERR_NOT_FOUND, "ingest ref \"%s\": not found", key);
}

static struct err *status_of_dir(const char *dir, const char *key, struct ingest_status *ret)
{
	autofree char *data = path_join(dir, "data");
	struct ingest_status s = {0};
	struct stat st;

	if (stat(data, &st) < 0)
		return errno == ENOENT ? no_ingest(key) : err_sys(errno, "ingest %s", key);
	TRY(get_time(dir, "startedat", &s.started_at));
	TRY(get_time(dir, "updatedat", &s.updated_at));
	TRY(get_total(dir, &s.total));
	s.offset = st.st_size;
	s.key = xstrdup(key);
	*ret = s;
	return NULL;
}

static void writer_status(const struct local_writer *w, struct ingest_status *ret)
{
	*ret = (struct ingest_status){
		.key = xstrdup(w->key),
		.offset = __atomic_load_n(&w->offset, __ATOMIC_RELAXED),
		.total = w->total,
		.started_at = w->started_at,
		.updated_at = w->updated_at,
	};
}

static struct err *local_status(struct content_store *s, const char *key, struct ingest_status *ret)
{
	autofree char *dir = ingest_dir(to_local(s), key);

	return status_of_dir(dir, key, ret);
}

static bool is_locked(struct local *l, const char *key)
{
	LOCKED(&l->lock);
	return map_get(&l->writers, key) != NULL;
}

static struct err *locked(const char *key)
{
	return err_new(ERR_UNAVAILABLE, "ref %s locked: unavailable", key);
}

static struct err *local_abort(struct content_store *s, const char *key)
{
	struct local *l = to_local(s);
	autofree char *dir = ingest_dir(l, key);

	if (is_locked(l, key))
		return locked(key);
	if (access(dir, F_OK) < 0 && errno == ENOENT)
		return no_ingest(key);
	return remove_tree(dir);
}

/* --- walking --- */

/* Names in a directory that is ours; none when it is not there. */
static struct err *list_names(const char *path, struct strv *ret)
{
	DIR *dir = opendir(path);
	struct dirent *d;

	if (!dir)
		return errno == ENOENT ? NULL : err_sys(errno, "open %s", path);
	while ((d = readdir(dir))) {
		if (d->d_name[0] != '.')
			strv_add(ret, d->d_name);
	}
	closedir(dir);
	return NULL;
}

static struct err *walk_algorithm(struct local *l, const char *algorithm,
	struct err *(*visit)(const char *digest, int64_t size, void *arg), void *arg)
{
	autofree char *dir = xasprintf("%s/blobs/%s", l->root, algorithm);
	autoval(strv) names = STRV_INIT;

	TRY(list_names(dir, &names));
	for (size_t i = 0; i < names.n; i++) {
		autofree char *digest = xasprintf("%s:%s", algorithm, names.items[i]);
		autofree char *path = path_join(dir, names.items[i]);
		struct stat st;

		if (digest_valid(digest) && lstat(path, &st) == 0 && S_ISREG(st.st_mode))
			TRY(visit(digest, st.st_size, arg));
	}
	return NULL;
}

static struct err *local_walk(struct content_store *s,
	struct err *(*visit)(const char *digest, int64_t size, void *arg), void *arg)
{
	struct local *l = to_local(s);
	autofree char *dir = path_join(l->root, "blobs");
	autoval(strv) algorithms = STRV_INIT;

	TRY(list_names(dir, &algorithms));
	for (size_t i = 0; i < algorithms.n; i++)
		TRY(walk_algorithm(l, algorithms.items[i], visit, arg));
	return NULL;
}

static struct err *local_walk_ingests(
	struct content_store *s, struct err *(*visit)(const char *key, void *arg), void *arg)
{
	struct local *l = to_local(s);
	autofree char *root = path_join(l->root, "ingest");
	autoval(strv) names = STRV_INIT;

	TRY(list_names(root, &names));
	for (size_t i = 0; i < names.n; i++) {
		autofree char *dir = path_join(root, names.items[i]);
		autofree char *key = NULL;

		TRY(get(dir, "ref", &key));
		if (key)
			TRY(visit(key, arg));
		else
			TRY(remove_tree(dir)); /* cut off while it was made */
	}
	return NULL;
}

/* --- the writer --- */

static void release(struct local_writer *w)
{
	lock_take(&w->store->lock);
	map_del(&w->store->writers, w->key);
	lock_drop(&w->store->lock);
	if (w->fd >= 0)
		close(w->fd);
	hasher_free(w->hasher);
	free(w->key);
	free(w->dir);
	free(w);
}

static void local_close(struct content_writer *base)
{
	struct local_writer *w = to_writer(base);

	err_free(put_time(w->dir, "updatedat", w->updated_at));
	release(w);
}

static void local_writer_status(struct content_writer *w, struct ingest_status *ret)
{
	writer_status(to_writer(w), ret);
}

static void local_digest(struct content_writer *w, char ret[static DIGEST_MAX])
{
	hasher_digest(to_writer(w)->hasher, ret);
}

static struct err *local_write(struct content_writer *base, const void *data, size_t len)
{
	struct local_writer *w = to_writer(base);
	int r = write_full(w->fd, data, len);

	if (r < 0) {
		/* What was half written is not hashed: cut it off. */
		(void)!ftruncate(w->fd, w->offset);
		lseek(w->fd, w->offset, SEEK_SET);
		return err_sys(-r, "write ingest %s", w->key);
	}
	hasher_add(w->hasher, data, len);
	__atomic_store_n(&w->offset, w->offset + (int64_t)len, __ATOMIC_RELAXED);
	w->updated_at = timestamp_now();
	if (w->offset - w->pushed >= WRITE_BEHIND) {
		sync_file_range(w->fd, w->pushed, w->offset - w->pushed, SYNC_FILE_RANGE_WRITE);
		w->pushed = w->offset;
	}
	return NULL;
}

/* Hashes the first `size` bytes of the file anew. */
static struct err *rehash(int fd, int64_t size, const char *like, struct hasher **ret)
{
	autoptr(hasher) h = hasher_new_like(like);
	autofree uint8_t *data = xmalloc(READ_BYTES);

	for (int64_t at = 0; at < size;) {
		ssize_t n = pread(fd, data, (size_t)MIN(size - at, (int64_t)READ_BYTES), at);

		if (n < 0)
			return err_sys(errno, "read ingest");
		if (n == 0)
			return err_new(ERR_DATA_LOSS, "ingest ends early");
		hasher_add(h, data, (size_t)n);
		at += n;
	}
	*ret = TAKE(h);
	return NULL;
}

static struct err *local_truncate(struct content_writer *base, int64_t size)
{
	struct local_writer *w = to_writer(base);
	struct hasher *h;

	if (size > w->offset)
		return err_new(
			ERR_RANGE, "ingest %s has only %lld bytes", w->key, (long long)w->offset);
	if (size == w->offset)
		return NULL;
	TRY(rehash(w->fd, size, NULL, &h));
	hasher_free(w->hasher);
	w->hasher = h;
	if (ftruncate(w->fd, size) < 0 || lseek(w->fd, size, SEEK_SET) < 0)
		return err_sys(errno, "truncate ingest %s", w->key);
	w->offset = w->pushed = size;
	return NULL;
}

/* The digest to keep the blob under: the expected one's algorithm counts. */
static struct err *verify(
	struct local_writer *w, int64_t size, const char *expected, char digest[static DIGEST_MAX])
{
	if (size > 0 && size != w->offset)
		return err_new(ERR_PRECONDITION,
			"unexpected commit size %lld, expected %lld: failed precondition",
			(long long)w->offset, (long long)size);
	hasher_digest(w->hasher, digest);
	if (!expected)
		return NULL;
	if (!digest_same_algorithm(expected, digest)) {
		autoptr(hasher) h = NULL;

		TRY(rehash(w->fd, w->offset, expected, &h));
		hasher_digest(h, digest);
	}
	if (!str_eq(expected, digest))
		return err_new(ERR_PRECONDITION,
			"unexpected commit digest %s, expected %s: failed precondition", digest,
			expected);
	return NULL;
}

/* Data first, then the name, then the name durable. */
static struct err *publish(struct local_writer *w, const char *digest)
{
	autofree char *data = path_join(w->dir, "data");
	autofree char *blob = blob_path(w->store, digest);
	autofree char *dir = path_dir(blob);

	TRY(mkdir_p(dir, 0755));
	if (access(blob, F_OK) == 0)
		return err_new(ERR_EXISTS, "content %s: already exists", digest);
	if (fchmod(w->fd, 0444) < 0 || fsync(w->fd) < 0)
		return err_sys(errno, "sync ingest %s", w->key);
	if (rename(data, blob) < 0)
		return err_sys(errno, "rename ingest %s", w->key);
	return dir_sync(dir);
}

static struct err *local_commit(struct content_writer *base, int64_t size, const char *expected)
{
	struct local_writer *w = to_writer(base);
	char digest[DIGEST_MAX];
	struct err *e = verify(w, size, expected, digest);

	if (e) {
		local_close(base);
		return e;
	}
	e = publish(w, digest);
	if (!e || err_is(e, ERR_EXISTS))
		err_free(remove_tree(w->dir)); /* what stays is found at the next start */
	release(w);
	return e;
}

static const struct content_writer_ops writer_ops = {
	.write = local_write,
	.truncate = local_truncate,
	.commit = local_commit,
	.status = local_writer_status,
	.digest = local_digest,
	.close = local_close,
};

/* --- opening a writer --- */

static struct err *begin(struct local_writer *w)
{
	char total[32];

	TRY(mkdir_p(w->dir, 0755));
	w->started_at = w->updated_at = timestamp_now();
	TRY(put_time(w->dir, "startedat", w->started_at));
	TRY(put_time(w->dir, "updatedat", w->updated_at));
	if (w->total > 0) {
		snprintf(total, sizeof(total), "%" PRId64, w->total);
		TRY(put(w->dir, "total", total));
	}
	return put(w->dir, "ref", w->key);
}

static struct err *resume(struct local_writer *w)
{
	autoval(ingest_status) s = {0};
	struct hasher *h;

	TRY(status_of_dir(w->dir, w->key, &s));
	if (w->total > 0 && s.total > 0 && w->total != s.total)
		return err_new(ERR_UNKNOWN, "provided total differs from status: %lld != %lld",
			(long long)w->total, (long long)s.total);
	w->total = s.total ? s.total : w->total;
	w->started_at = s.started_at;
	w->updated_at = s.updated_at;
	TRY(rehash(w->fd, s.offset, NULL, &h));
	hasher_free(w->hasher);
	w->hasher = h;
	w->offset = w->pushed = s.offset;
	if (lseek(w->fd, s.offset, SEEK_SET) < 0)
		return err_sys(errno, "ingest %s", w->key);
	return NULL;
}

static struct err *open_data(struct local_writer *w)
{
	autofree char *data = path_join(w->dir, "data");
	bool fresh = access(data, F_OK) < 0;

	if (fresh)
		TRY(begin(w));
	w->fd = open(data, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (w->fd < 0)
		return err_sys(errno, "open ingest %s", w->key);
	return fresh ? NULL : resume(w);
}

static struct err *local_writer_open(
	struct content_store *s, const char *key, int64_t total, struct content_writer **ret)
{
	struct local *l = to_local(s);
	struct local_writer *w;
	struct err *e;

	lock_take(&l->lock);
	if (map_get(&l->writers, key)) {
		lock_drop(&l->lock);
		return locked(key);
	}
	w = NEW(struct local_writer);
	map_set(&l->writers, key, w);
	lock_drop(&l->lock);
	w->base.ops = &writer_ops;
	w->store = l;
	w->key = xstrdup(key);
	w->dir = ingest_dir(l, key);
	w->fd = -1;
	w->total = total;
	w->hasher = hasher_new();
	e = open_data(w);
	if (e) {
		release(w);
		return e;
	}
	*ret = &w->base;
	return NULL;
}

/* --- the store --- */

static void local_destroy(struct content_store *s)
{
	struct local *l = to_local(s);

	map_done(&l->writers, NULL);
	lock_done(&l->lock);
	free(l->root);
	free(l);
}

static const struct content_store_ops local_ops = {
	.open_blob = local_open_blob,
	.remove_blob = local_remove_blob,
	.walk = local_walk,
	.writer_open = local_writer_open,
	.status = local_status,
	.abort = local_abort,
	.walk_ingests = local_walk_ingests,
	.destroy = local_destroy,
};

struct err *content_local_open(const char *root, struct content_store **ret)
{
	autofree char *blobs = path_join(root, "blobs/sha256");
	autofree char *ingest = path_join(root, "ingest");
	struct local *l;

	TRY(mkdir_p(blobs, 0755));
	TRY(mkdir_p(ingest, 0755));
	l = NEW(struct local);
	l->base.ops = &local_ops;
	l->root = xstrdup(root);
	lock_init(&l->lock);
	*ret = &l->base;
	return NULL;
}
