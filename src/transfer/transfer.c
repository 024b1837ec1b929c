// SPDX-License-Identifier: Apache-2.0
#include "transfer/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "meta/leases.h"
#include "transfer/transfer-internal.h"

#define LEASE_SECONDS (24 * 60 * 60)

struct transfer *transfer_new(const struct transfer_options *options)
{
	struct transfer *t = NEW(struct transfer);

	*t = (struct transfer){
		.meta = options->meta,
		.content = options->content,
		.snapshots = options->snapshots,
		.differ = options->differ,
		.worker = xstrdup(options->worker),
		.check_platform = options->check_platform,
	};
	return t;
}

void transfer_free(struct transfer *t)
{
	if (!t)
		return;
	free(t->worker);
	free(t);
}

void progress_emit(const struct transfer_progress *p, const char *event, const char *name,
	const struct descriptor *d)
{
	if (p)
		p->emit(p->arg, event, name, d);
}

/* --- leases --- */

struct err *leased_begin(struct transfer *t, const struct scope *s, struct leased *ret)
{
	autoval(strmap) labels = STRMAP_INIT;
	autoval(lease) lease = {0};
	struct timestamp end = timestamp_now();
	char text[TIMESTAMP_TEXT];

	*ret = (struct leased){.transfer = t, .scope = *s};
	if (!str_empty(s->lease))
		return NULL;
	end.sec += LEASE_SECONDS;
	timestamp_format(end, text);
	strmap_set(&labels, "containerd.io/gc.expire", text);
	TRY(leases_create(t->meta, s, NULL, &labels, &lease));
	ret->own = TAKE(lease.id);
	ret->scope.lease = ret->own;
	return NULL;
}

void leased_end(struct leased *l)
{
	struct scope s = {.ns = l->scope.ns};
	autoptr(err) e = l->own ? leases_delete(l->transfer->meta, &s, l->own) : NULL;

	if (e)
		log_warn("lease of a transfer stays until it expires", "lease", l->own, "error",
			err_message(e));
	free(l->own);
}

/* --- platforms --- */

bool platform_is(const struct platform *a, const struct platform *b)
{
	autofree char *x = platform_format_all(a), *y = platform_format_all(b);

	return str_eq(x, y);
}

size_t platform_rank(const struct platform *list, size_t n, const struct platform *p)
{
	size_t i = 0;

	while (i < n && !platform_is(&list[i], p))
		i++;
	return i;
}

static size_t entry_rank(const struct image_index_entry *e, const struct platform *list, size_t n)
{
	return e->has_platform ? platform_rank(list, n, &e->platform) : n + 1;
}

void entries_sort(struct image_index *index, const struct platform *list, size_t n)
{
	for (size_t i = 1; i < index->n_entries; i++) {
		struct image_index_entry moved = index->entries[i];
		size_t rank = entry_rank(&moved, list, n), at = i;

		for (; at > 0 && entry_rank(&index->entries[at - 1], list, n) > rank; at--)
			index->entries[at] = index->entries[at - 1];
		index->entries[at] = moved;
	}
}

/* --- the short jobs --- */

struct err *transfer_tag(struct transfer *t, const struct scope *s,
	const struct transfer_store *from, const struct transfer_store *to)
{
	autoval(leased) l = {0};
	autoval(image) image = {0};

	TRY(leased_begin(t, s, &l));
	TRY(images_get(t->meta, &l.scope, from->name, &image));
	return store_names(t, &l.scope, to, &image.target, false, NULL);
}

struct err *transfer_echo(struct stream *from, struct stream *to)
{
	for (;;) {
		const void *data;
		size_t len;

		TRY(stream_read(from, &data, &len));
		if (len == 0)
			return NULL;
		TRY(stream_write(to, data, len));
	}
}
