// SPDX-License-Identifier: Apache-2.0
#include "content/store.h"

#include <dirent.h>
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

static const char *const algorithms[] = {"sha256", "sha384", "sha512"};

char *local_blob_path(const struct local_store *s, const char *digest)
{
	const char *hex = digest_hex(digest);

	return xasprintf("%s/blobs/%.*s/%s", s->root, (int)(hex - digest - 1), digest, hex);
}

static struct err *local_open_blob(
	struct content_store *base, const char *digest, int *ret_fd, int64_t *ret_size)
{
	autofree char *path = local_blob_path(to_local(base), digest);
	autofd fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return content_not_found(digest);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(errno, "content %s", digest);
	*ret_fd = TAKE_FD(fd);
	*ret_size = st.st_size;
	return NULL;
}

static struct err *local_remove_blob(struct content_store *base, const char *digest)
{
	autofree char *path = local_blob_path(to_local(base), digest);

	if (unlink(path) == 0)
		return NULL;
	if (errno == ENOENT)
		return content_not_found(digest);
	return err_sys(errno, "remove content %s", digest);
}

struct blob_visit {
	const char *algorithm;
	struct err *(*visit)(const char *digest, int64_t size, void *arg);
	void *arg;
};

/* Call `visit` for each name in a directory that may be missing. */
static struct err *each_name(
	const char *path, struct err *(*visit)(int dirfd, const char *name, void *arg), void *arg)
{
	DIR *dir = opendir(path);
	struct err *e = NULL;
	struct dirent *d;

	if (!dir)
		return errno == ENOENT ? NULL : err_sys(errno, "open %s", path);
	while (!e && (d = readdir(dir))) {
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			e = visit(dirfd(dir), d->d_name, arg);
	}
	closedir(dir);
	return e;
}

static struct err *visit_blob(int dirfd, const char *name, void *arg)
{
	const struct blob_visit *v = arg;
	autofree char *digest = xasprintf("%s:%s", v->algorithm, name);
	struct stat st;

	/* Gone meanwhile, or not ours. */
	if (!digest_valid(digest) || fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		!S_ISREG(st.st_mode))
		return NULL;
	return v->visit(digest, st.st_size, v->arg);
}

static struct err *local_walk(struct content_store *base,
	struct err *(*visit)(const char *digest, int64_t size, void *arg), void *arg)
{
	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
		autofree char *path = xasprintf("%s/blobs/%s", to_local(base)->root, algorithms[i]);
		struct blob_visit v = {algorithms[i], visit, arg};

		TRY(each_name(path, visit_blob, &v));
	}
	return NULL;
}

static struct err *try_lock(struct local_store *s, const char *key)
{
	struct timestamp *since;
	struct timestamp now = timestamp_now();
	char text[TIMESTAMP_TEXT], duration[TIMESTAMP_TEXT];

	LOCKED(&s->lock);
	since = map_get(&s->writers, key);
	if (!since) {
		map_set(&s->writers, key, xmemdup(&now, sizeof(now)));
		return NULL;
	}
	timestamp_format(*since, text);
	duration_format(timestamp_to_ns(now) - timestamp_to_ns(*since), duration);
	return err_new(ERR_UNAVAILABLE, "ref %s locked for %s (since %s): unavailable", key,
		duration, text);
}

void local_unlock(struct local_store *s, const char *key)
{
	LOCKED(&s->lock);
	free(map_del(&s->writers, key));
}

static struct err *local_open_writer(
	struct content_store *base, const char *key, int64_t total, struct content_writer **ret)
{
	struct local_store *s = to_local(base);
	struct err *e;

	TRY(try_lock(s, key));
	e = local_writer_open(base, key, total, ret);
	if (e)
		local_unlock(s, key);
	return e;
}

static struct err *local_ingest_status(
	struct content_store *base, const char *key, struct ingest_status *ret)
{
	autofree char *dir = ingest_dir(to_local(base), key);
	autoptr(err) e = ingest_read(dir, ret);

	return err_is(e, ERR_NOT_FOUND) ? ingest_not_found(key) : TAKE(e);
}

static struct err *local_abort(struct content_store *base, const char *key)
{
	autofree char *dir = ingest_dir(to_local(base), key);
	struct stat st;

	if (lstat(dir, &st) < 0 && errno == ENOENT)
		return ingest_not_found(key);
	return err_wrap(remove_tree(dir), "abort ingest %s", key);
}

struct ingest_visit {
	const char *parent;
	struct err *(*visit)(const char *key, void *arg);
	void *arg;
};

static struct err *visit_ingest(int dirfd, const char *name, void *arg)
{
	const struct ingest_visit *v = arg;
	autofree char *dir = path_join(v->parent, name);
	autofree char *key = ingest_key(dir);

	return key ? v->visit(key, v->arg) : NULL;
}

static struct err *local_walk_ingests(
	struct content_store *base, struct err *(*visit)(const char *key, void *arg), void *arg)
{
	autofree char *path = path_join(to_local(base)->root, "ingest");
	struct ingest_visit v = {path, visit, arg};

	return each_name(path, visit_ingest, &v);
}

static void local_destroy(struct content_store *base)
{
	struct local_store *s = to_local(base);

	map_done(&s->writers, free);
	lock_done(&s->lock);
	free(s->root);
	free(s);
}

static const struct content_store_ops local_ops = {
	.open_blob = local_open_blob,
	.remove_blob = local_remove_blob,
	.walk = local_walk,
	.writer_open = local_open_writer,
	.status = local_ingest_status,
	.abort = local_abort,
	.walk_ingests = local_walk_ingests,
	.destroy = local_destroy,
};

/* What a crash left between two steps: an ingest without its ref, or one whose data became a blob. */
static struct err *sweep_ingest(int dirfd, const char *name, void *arg)
{
	autofree char *dir = path_join(arg, name);
	autofree char *key = ingest_key(dir);
	autofree char *data = path_join(dir, "data");

	if (key && access(data, F_OK) == 0)
		return NULL;
	return remove_tree(dir);
}

static struct err *make_dirs(const char *root)
{
	autofree char *blobs = path_join(root, "blobs/sha256");
	autofree char *ingest = path_join(root, "ingest");
	autofree char *parent = path_join(root, "blobs");

	TRY(mkdir_p(blobs, 0755));
	TRY(mkdir_p(ingest, 0755));
	TRY(each_name(ingest, sweep_ingest, ingest));
	TRY(dir_sync(parent));
	return dir_sync(root);
}

struct err *content_local_open(const char *root, struct content_store **ret)
{
	struct local_store *s;

	TRY(err_wrap(make_dirs(root), "content store"));
	s = NEW(struct local_store);
	s->base.ops = &local_ops;
	s->root = xstrdup(root);
	lock_init(&s->lock);
	*ret = &s->base;
	return NULL;
}
