// SPDX-License-Identifier: Apache-2.0
#include "namespaced/content.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/filter.h"
#include "base/fs.h"
#include "base/identifier.h"
#include "base/strv.h"

#define COPY_BYTES ((size_t)64 * 1024)

struct content {
	struct meta *meta;
	struct content_store *store;
};

/*
 * An open write. One that names a blob which the store has already shares it: it stands at its end
 * and has no writer, until the client writes something else after all.
 */
struct content_ingest {
	struct content *content;
	struct scope scope; /* its texts are owned */
	char *ref, *key;
	struct content_writer *writer; /* NULL: shared */
	char *shared;		       /* the digest, when the store has it */
	int64_t shared_size;
	struct timestamp opened_at;
};

struct content *content_new(struct meta *meta, struct content_store *store)
{
	struct content *c = NEW(struct content);

	c->meta = meta;
	c->store = store;
	return c;
}

void content_free(struct content *c)
{
	free(c);
}

void ingest_status_list_done(struct ingest_status_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		ingest_status_done(&l->items[i]);
	free(l->items);
	*l = (struct ingest_status_list){0};
}

/* --- blobs --- */

struct err *content_info(
	struct content *c, const struct scope *s, const char *digest, struct blob_info *ret)
{
	return blobs_get(c->meta, s, digest, ret);
}

struct err *content_list(struct content *c, const struct scope *s, char *const *filters,
	size_t n_filters, struct blob_list *ret)
{
	return blobs_list(c->meta, s, filters, n_filters, ret);
}

struct err *content_update(struct content *c, const struct scope *s, const char *digest,
	const struct strmap *labels, char *const *paths, size_t n_paths, struct blob_info *ret)
{
	return blobs_update(c->meta, s, digest, labels, paths, n_paths, ret);
}

struct err *content_delete(struct content *c, const struct scope *s, const char *digest)
{
	return blobs_delete(c->meta, s, digest);
}

struct err *content_read(struct content *c, const struct scope *s, const char *digest, int *ret_fd,
	int64_t *ret_size)
{
	autoval(blob_info) info = {0};

	TRY(blobs_get(c->meta, s, digest, &info));
	return content_open_blob(c->store, digest, ret_fd, ret_size);
}

/* --- ingests, seen from outside --- */

static void rename_status(struct ingest_status *st, const char *ref)
{
	free(st->key);
	st->key = xstrdup(ref);
}

struct err *content_ingest_status(
	struct content *c, const struct scope *s, const char *ref, struct ingest_status *ret)
{
	autoval(ingest_row) row = {0};

	TRY(ingests_get(c->meta, s, ref, &row));
	TRY(content_status(c->store, row.key, ret));
	rename_status(ret, ref);
	return NULL;
}

static const char *field(void *object, char *const *path, size_t n, bool *ret_present)
{
	const struct ingest_status *st = object;

	*ret_present = strcmp(path[0], "ref") == 0;
	return *ret_present ? st->key : NULL;
}

static struct err *list_one(struct content *c, const struct ingest_row *row,
	const struct filter *filter, struct ingest_status_list *to)
{
	autoval(ingest_status) st = {0};
	struct err *e = content_status(c->store, row->key, &st);

	if (err_is(e, ERR_NOT_FOUND)) { /* nothing written yet, or gone meanwhile */
		err_free(e);
		return NULL;
	}
	TRY(e);
	rename_status(&st, row->ref);
	if (!filter_match(filter, field, &st))
		return NULL;
	GROW(to->items, to->n, to->cap);
	to->items[to->n++] = st;
	st = (struct ingest_status){0};
	return NULL;
}

struct err *content_ingest_list(struct content *c, const struct scope *s, char *const *filters,
	size_t n_filters, struct ingest_status_list *ret)
{
	autoptr(filter) filter = NULL;
	autoval(ingest_row_list) rows = {0};
	autoval(ingest_status_list) list = {0};

	TRY(scope_check(s));
	TRY(filter_parse(filters, n_filters, &filter));
	TRY(ingests_list(c->meta, s, &rows));
	for (size_t i = 0; i < rows.n; i++)
		TRY(list_one(c, &rows.items[i], filter, &list));
	*ret = list;
	list = (struct ingest_status_list){0};
	return NULL;
}

struct err *content_ingest_abort(struct content *c, const struct scope *s, const char *ref)
{
	autoval(ingest_row) row = {0};
	struct err *e;

	TRY(ingests_get(c->meta, s, ref, &row));
	TRY(ingests_delete(c->meta, s, ref));
	e = content_abort(c->store, row.key);
	/* One that shares a blob, or was never written to, has no files. */
	if (!err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	return NULL;
}

/* --- opening --- */

/* Whether the store has the blob, in the size announced (0: not known). */
static bool store_has(struct content *c, const char *digest, int64_t total, int64_t *ret_size)
{
	autofd fd = -1;
	autoptr(err) e = content_open_blob(c->store, digest, &fd, ret_size);

	return !e && (total == 0 || total == *ret_size);
}

static struct content_ingest *ingest_new(
	struct content *c, const struct scope *s, const char *ref, struct ingest_row *take_row)
{
	struct content_ingest *i = NEW(struct content_ingest);

	i->content = c;
	i->scope.ns = xstrdup(s->ns);
	i->scope.lease = xstrdup(s->lease);
	i->ref = xstrdup(ref);
	i->key = TAKE(take_row->key);
	i->opened_at = timestamp_now();
	return i;
}

static struct err *open_shared(struct content *c, const struct scope *s, const char *ref,
	int64_t total, const char *expected, struct content_ingest **ret)
{
	autoval(ingest_row) row = {0};
	int64_t size = 0;
	bool shared = store_has(c, expected, total, &size);

	TRY(ingests_open(c->meta, s, ref, expected, shared, &row));
	*ret = ingest_new(c, s, ref, &row);
	if (!shared)
		return NULL;
	(*ret)->shared = xstrdup(expected);
	(*ret)->shared_size = size;
	return NULL;
}

static struct err *open_row(struct content *c, const struct scope *s, const char *ref,
	int64_t total, const char *expected, struct content_ingest **ret)
{
	autoval(ingest_row) row = {0};
	struct err *e;

	if (str_empty(expected)) {
		TRY(ingests_open(c->meta, s, ref, NULL, false, &row));
		*ret = ingest_new(c, s, ref, &row);
		return NULL;
	}
	/* Not to be swept between being found and being named by the row. */
	blobs_pin(c->meta, expected);
	e = open_shared(c, s, ref, total, expected, ret);
	blobs_unpin(c->meta, expected);
	return e;
}

struct err *content_ingest_open(struct content *c, const struct scope *s, const char *ref,
	int64_t total, const char *expected, struct content_ingest **ret)
{
	autoptr(content_ingest) i = NULL;

	if (str_empty(ref))
		return err_new(ERR_INVALID, "ref must not be empty: invalid argument");
	TRY(scope_check(s));
	if (!str_empty(expected))
		TRY(digest_check(expected));
	TRY(open_row(c, s, ref, total, expected, &i));
	if (!i->shared)
		TRY(content_writer_open(c->store, i->key, total, &i->writer));
	*ret = TAKE(i);
	return NULL;
}

void content_ingest_close(struct content_ingest *i)
{
	if (!i)
		return;
	content_writer_close(i->writer);
	free((char *)i->scope.ns);
	free((char *)i->scope.lease);
	free(i->ref);
	free(i->key);
	free(i->shared);
	free(i);
}

/* --- writing --- */

static struct err *copy_blob(
	struct content *c, const char *digest, int64_t size, struct content_writer *to)
{
	autofree char *block = xmalloc(COPY_BYTES);
	int64_t blob_size = 0;
	autofd fd = -1;

	TRY(content_open_blob(c->store, digest, &fd, &blob_size));
	while (size > 0) {
		ssize_t n = read_full(fd, block, MIN(COPY_BYTES, (size_t)size));

		if (n <= 0)
			return n ? err_sys((int)-n, "read content %s", digest)
				 : err_new(ERR_DATA_LOSS, "content %s is shorter than it was",
					   digest);
		TRY(content_write(to, block, (size_t)n));
		size -= n;
	}
	return NULL;
}

/* Stop sharing: the first `size` bytes become the ingest's own. */
static struct err *unshare(struct content_ingest *i, int64_t size)
{
	autoptr(content_writer) w = NULL;
	struct content *c = i->content;

	TRY(content_writer_open(c->store, i->key, i->shared_size, &w));
	TRY(content_truncate(w, 0));
	TRY(copy_blob(c, i->shared, size, w));
	i->writer = TAKE(w);
	return NULL;
}

static int64_t offset_now(struct content_ingest *i)
{
	autoval(ingest_status) st = {0};

	if (!i->writer)
		return i->shared_size;
	content_writer_status(i->writer, &st);
	return st.offset;
}

struct err *content_ingest_write(
	struct content_ingest *i, int64_t offset, const void *data, size_t len)
{
	int64_t end = offset_now(i);

	if (offset < 0 || offset > end)
		return err_new(ERR_RANGE,
			"write @%" PRId64 " must occur at current offset %" PRId64, offset, end);
	if (!i->writer && offset == end && len == 0)
		return NULL;
	if (!i->writer)
		TRY(unshare(i, offset));
	else if (offset < end)
		TRY(content_truncate(i->writer, offset));
	return len ? content_write(i->writer, data, len) : NULL;
}

void content_ingest_current(struct content_ingest *i, struct ingest_status *ret)
{
	if (i->writer) {
		content_writer_status(i->writer, ret);
		rename_status(ret, i->ref);
		return;
	}
	*ret = (struct ingest_status){.key = xstrdup(i->ref),
		.offset = i->shared_size,
		.total = i->shared_size,
		.expected = xstrdup(i->shared),
		.started_at = i->opened_at,
		.updated_at = i->opened_at};
}

void content_ingest_digest(struct content_ingest *i, char ret[static DIGEST_MAX])
{
	if (i->writer)
		content_writer_digest(i->writer, ret);
	else
		memccpy(ret, i->shared, '\0', DIGEST_MAX);
}

/* --- committing --- */

static struct err *check_commit(
	struct content_ingest *i, int64_t size, int64_t actual, const char *expected)
{
	if (size != 0 && size != actual)
		return err_new(ERR_PRECONDITION,
			"\"%s\" failed size validation: %" PRId64 " != %" PRId64
			": failed precondition",
			i->ref, actual, size);
	if (!i->writer && !str_empty(expected) && strcmp(expected, i->shared) != 0)
		return err_new(
			ERR_PRECONDITION, "\"%s\" unexpected digest: failed precondition", i->ref);
	return NULL;
}

/* The file is in the store afterwards, whoever brought it there. */
static struct err *commit_file(struct content_ingest *i, int64_t size, const char *expected)
{
	struct err *e;

	if (!i->writer)
		return NULL;
	e = content_commit(i->writer, size, str_empty(expected) ? NULL : expected);
	if (!err_is(e, ERR_EXISTS))
		return e;
	err_free(e);
	return NULL;
}

static struct err *commit(struct content_ingest *i, int64_t size, const char *digest,
	const char *expected, const struct strmap *labels)
{
	struct meta *m = i->content->meta;
	struct err *e;

	TRY(commit_file(i, size, expected));
	e = ingests_commit(m, &i->scope, i->ref, digest, size, labels);
	if (e)
		blobs_suspect(m, digest);
	return e;
}

struct err *content_ingest_commit(struct content_ingest *take_i, int64_t size, const char *expected,
	const struct strmap *labels)
{
	autoptr(content_ingest) i = take_i;
	int64_t actual = offset_now(i);
	char digest[DIGEST_MAX];
	struct err *e;

	TRY(err_wrap(labels_check(labels), "info.Labels"));
	TRY(check_commit(i, size, actual, expected));
	content_ingest_digest(i, digest);
	/* From before the file has its name until the row has it. */
	blobs_pin(i->content->meta, digest);
	e = commit(i, actual, digest, expected, labels);
	blobs_unpin(i->content->meta, digest);
	return e;
}
