// SPDX-License-Identifier: Apache-2.0
#include "meta/images.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/identifier.h"
#include "meta/internal.h"

#define LABEL_EXPIRE "containerd.io/gc.expire"

void image_done(struct image *i)
{
	free(i->name);
	strmap_done(&i->labels);
	descriptor_done(&i->target);
	*i = (struct image){0};
}

void image_list_done(struct image_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		image_done(&l->items[i]);
	free(l->items);
	*l = (struct image_list){0};
}

struct job {
	const struct scope *scope;
	const char *name;
	const struct image *given;
	const char *target_digest;
	char *const *paths;
	size_t n_paths;
	struct timestamp at;
	const struct filter *filter;
	bool found;
	struct image image;
	struct image_list list;
};

#define COLUMNS "name, created, updated, media_type, digest, size, labels, annotations"

static struct err *read_row(sqlite3_stmt *st, struct image *i)
{
	i->name = sql_text(st, 0);
	i->created_at = timestamp_from_ns(sqlite3_column_int64(st, 1));
	i->updated_at = timestamp_from_ns(sqlite3_column_int64(st, 2));
	i->target.media_type = sql_text(st, 3);
	i->target.digest = sql_text(st, 4);
	i->target.size = sqlite3_column_int64(st, 5);
	TRY(unpack_labels(st, 6, &i->labels));
	return unpack_labels(st, 7, &i->target.annotations);
}

static struct err *read_one(
	struct conn *c, const char *ns, const char *name, struct image *ret, bool *ret_found)
{
	autostmt st = NULL;

	TRY(sql_start(
		c, &st, "SELECT " COLUMNS " FROM images WHERE ns=?1 AND name=?2", "ss", ns, name));
	TRY(sql_row(c, st, ret_found));
	return *ret_found ? read_row(st, ret) : NULL;
}

static struct err *not_found(const char *name)
{
	return err_new(ERR_NOT_FOUND, "image \"%s\": not found", name);
}

static struct err *write_row(struct conn *c, const char *ns, const struct image *i)
{
	autoval(buf) labels = BUF_INIT(META_PACKED_MAX), annotations = BUF_INIT(META_PACKED_MAX);

	pack_labels(&labels, &i->labels);
	pack_labels(&annotations, &i->target.annotations);
	gc_touch(c, GC_IMAGE, ns, NULL, i->name);
	gc_touch(c, GC_CONTENT, ns, NULL, i->target.digest);
	gc_touch_labels(c, ns, &i->labels);
	return sql_run(c,
		"INSERT OR REPLACE INTO images(ns, " COLUMNS ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
		"ssiissibb", ns, i->name, timestamp_to_ns(i->created_at),
		timestamp_to_ns(i->updated_at), i->target.media_type, i->target.digest,
		i->target.size, &labels, &annotations);
}

static struct err *check(const struct image *i)
{
	const char *digest = str_or(i->target.digest, "");
	struct err *why;

	if (str_empty(i->name))
		return err_new(ERR_INVALID, "image name must not be empty: invalid argument");
	TRY(err_wrap(labels_check(&i->labels), "image.Labels"));
	why = digest_check(digest);
	if (why) {
		struct err *e =
			err_new(ERR_INVALID, "target.Digest \"%s\" invalid: %s: invalid argument",
				digest, err_message(why));

		err_free(why);
		return e;
	}
	if (i->target.size <= 0)
		return err_new(
			ERR_INVALID, "target.Size must be greater than zero: invalid argument");
	if (str_empty(i->target.media_type))
		return err_new(ERR_INVALID, "target.MediaType must be set: invalid argument");
	return NULL;
}

/* Only an image that may expire needs the lease. */
static struct err *hold(struct conn *c, const struct scope *s, const struct image *i)
{
	if (!strmap_get(&i->labels, LABEL_EXPIRE))
		return NULL;
	return lease_hold(c, s, "images", i->name);
}

static void copy(struct image *to, const struct image *from)
{
	to->name = xstrdup(from->name);
	strmap_copy(&to->labels, &from->labels);
	descriptor_copy(&to->target, &from->target);
}

static void drop_empty(struct image *i)
{
	labels_drop_empty(&i->labels);
	labels_drop_empty(&i->target.annotations);
}

static struct err *do_get(struct conn *c, void *arg)
{
	struct job *j = arg;

	return read_one(c, j->scope->ns, j->name, &j->image, &j->found);
}

/* The job's image becomes the caller's, or is released. */
static struct err *finish(struct job *j, struct err *take_e, struct image *ret)
{
	if (take_e)
		image_done(&j->image);
	else
		*ret = j->image;
	return take_e;
}

struct err *images_get(struct meta *m, const struct scope *s, const char *name, struct image *ret)
{
	struct job j = {.scope = s, .name = name};
	struct err *e;

	TRY(scope_check(s));
	e = meta_read(m, false, do_get, &j);
	if (!e && !j.found)
		e = not_found(name);
	return finish(&j, e, ret);
}

static const char *field(void *object, char *const *path, size_t n, bool *ret_present)
{
	const struct image *i = object;

	if (strcmp(path[0], "name") == 0)
		return field_text(i->name, ret_present);
	if (strcmp(path[0], "labels") == 0)
		return field_label(&i->labels, path + 1, n - 1, ret_present);
	if (strcmp(path[0], "annotations") == 0)
		return field_label(&i->target.annotations, path + 1, n - 1, ret_present);
	*ret_present = false;
	if (strcmp(path[0], "target") != 0 || n < 2)
		return NULL;
	if (strcmp(path[1], "digest") == 0)
		return field_text(i->target.digest, ret_present);
	if (strcmp(path[1], "mediatype") == 0)
		return field_text(i->target.media_type, ret_present);
	return NULL;
}

static struct err *do_list(struct conn *c, void *arg)
{
	struct job *j = arg;
	autostmt st = NULL;

	TRY(sql_start(c, &st, "SELECT " COLUMNS " FROM images WHERE ns=?1 ORDER BY name", "s",
		j->scope->ns));
	for (;;) {
		autoval(image) one = {0};
		bool row;

		TRY(sql_row(c, st, &row));
		if (!row)
			return NULL;
		TRY(read_row(st, &one));
		if (!filter_match(j->filter, field, &one))
			continue;
		GROW(j->list.items, j->list.n, j->list.cap);
		j->list.items[j->list.n++] = one;
		one = (struct image){0};
	}
}

struct err *images_list(struct meta *m, const struct scope *s, char *const *filters,
	size_t n_filters, struct image_list *ret)
{
	autoptr(filter) filter = NULL;
	struct job j = {.scope = s};
	struct err *e;

	TRY(scope_check(s));
	TRY(parse_filters(filters, n_filters, &filter));
	j.filter = filter;
	e = meta_read(m, false, do_list, &j);
	if (e) {
		image_list_done(&j.list);
		return e;
	}
	*ret = j.list;
	return NULL;
}

static struct err *do_create(struct conn *c, void *arg)
{
	struct job *j = arg;
	bool there;

	TRY(hold(c, j->scope, &j->image));
	TRY(sql_exists(c, &there, "SELECT 1 FROM images WHERE ns=?1 AND name=?2", "ss",
		j->scope->ns, j->image.name));
	if (there)
		return err_new(ERR_EXISTS, "image \"%s\": already exists", j->image.name);
	TRY(ensure_namespace(c, j->scope->ns));
	return write_row(c, j->scope->ns, &j->image);
}

static void announce(struct meta *m, enum change_kind kind, const char *ns, const struct image *i)
{
	meta_announce(
		m, &(struct change){.kind = kind, .ns = ns, .id = i->name, .labels = &i->labels});
}

struct err *images_create(struct meta *m, const struct scope *s, const struct image *i,
	struct timestamp at, struct image *ret)
{
	struct job j = {.scope = s};
	struct err *e;

	TRY(scope_check(s));
	TRY(check(i));
	copy(&j.image, i);
	drop_empty(&j.image);
	j.image.created_at = timestamp_is_zero(at) ? timestamp_now() : at;
	j.image.updated_at = j.image.created_at;
	e = meta_update(m, DURABLE, do_create, &j);
	if (!e)
		announce(m, CHANGE_IMAGE_CREATE, s->ns, &j.image);
	return finish(&j, e, ret);
}

static struct err *apply_path(struct image *to, const struct image *from, const char *path)
{
	if (apply_map_path(&to->labels, &from->labels, path, "labels") ||
		apply_map_path(
			&to->target.annotations, &from->target.annotations, path, "annotations"))
		return NULL;
	if (strcmp(path, "target") != 0)
		return err_new(ERR_INVALID,
			"cannot update \"%s\" field on image \"%s\": invalid argument", path,
			to->name);
	descriptor_done(&to->target);
	descriptor_copy(&to->target, &from->target);
	return NULL;
}

static struct err *do_update(struct conn *c, void *arg)
{
	struct job *j = arg;
	bool found;

	TRY(read_one(c, j->scope->ns, j->given->name, &j->image, &found));
	if (!found)
		return not_found(j->given->name);
	if (j->n_paths == 0) {
		strmap_copy(&j->image.labels, &j->given->labels);
		TRY(apply_path(&j->image, j->given, "target"));
	}
	for (size_t i = 0; i < j->n_paths; i++)
		TRY(apply_path(&j->image, j->given, j->paths[i]));
	TRY(check(&j->image));
	drop_empty(&j->image);
	j->image.updated_at = timestamp_is_zero(j->at) ? timestamp_now() : j->at;
	TRY(hold(c, j->scope, &j->image));
	return write_row(c, j->scope->ns, &j->image);
}

struct err *images_update(struct meta *m, const struct scope *s, const struct image *i,
	char *const *paths, size_t n_paths, struct timestamp at, struct image *ret)
{
	struct job j = {.scope = s, .given = i, .paths = paths, .n_paths = n_paths, .at = at};
	struct err *e;

	TRY(scope_check(s));
	if (str_empty(i->name))
		return err_new(ERR_INVALID, "image name is required for update: invalid argument");
	e = meta_update(m, DURABLE, do_update, &j);
	if (!e)
		announce(m, CHANGE_IMAGE_UPDATE, s->ns, &j.image);
	return finish(&j, e, ret);
}

static struct err *do_delete(struct conn *c, void *arg)
{
	struct job *j = arg;
	autoval(image) now = {0};
	bool found;

	TRY(read_one(c, j->scope->ns, j->name, &now, &found));
	if (!found)
		return not_found(j->name);
	if (!str_empty(j->target_digest) && strcmp(now.target.digest, j->target_digest) != 0)
		return err_new(ERR_NOT_FOUND, "image \"%s\" has target %s, not %s: not found",
			j->name, now.target.digest, j->target_digest);
	TRY(lease_let_go(c, j->scope, "images", j->name));
	meta_count_deletion(c);
	return sql_run(
		c, "DELETE FROM images WHERE ns=?1 AND name=?2", "ss", j->scope->ns, j->name);
}

struct err *images_delete(
	struct meta *m, const struct scope *s, const char *name, const char *target_digest)
{
	struct job j = {.scope = s, .name = name, .target_digest = target_digest};

	TRY(scope_check(s));
	TRY(meta_update(m, DURABLE, do_delete, &j));
	meta_announce(m, &(struct change){.kind = CHANGE_IMAGE_DELETE, .ns = s->ns, .id = name});
	return NULL;
}
