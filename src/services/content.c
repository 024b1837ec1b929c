// SPDX-License-Identifier: Apache-2.0
#include "namespaced/content.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "proto/content.pb-c.h"
#include "services/convert.h"
#include "services/services.h"

#define INFOS_PER_MESSAGE 100
#define READ_CHUNK ((size_t)256 * 1024)

static Content__Info *info_to_wire(const struct blob_info *b, struct arena *arena)
{
	Content__Info *w = ARENA_NEW(arena, Content__Info);

	content__info__init(w);
	w->digest = b->digest;
	w->size = b->size;
	w->created_at = timestamp_to_wire(b->created_at, arena);
	w->updated_at = timestamp_to_wire(b->updated_at, arena);
	w->labels = STRMAP_TO_WIRE(&b->labels, Content__Info__LabelsEntry,
		content__info__labels_entry__init, arena, &w->n_labels);
	return w;
}

static Content__Status *status_to_wire(const struct ingest_status *s, struct arena *arena)
{
	Content__Status *w = ARENA_NEW(arena, Content__Status);

	content__status__init(w);
	w->started_at = timestamp_to_wire(s->started_at, arena);
	w->updated_at = timestamp_to_wire(s->updated_at, arena);
	w->ref = s->key;
	w->offset = s->offset;
	w->total = s->total;
	w->expected = (char *)str_or(s->expected, "");
	return w;
}

static struct err *content_handle_info(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Content__InfoRequest *req = rpc_request(call);
	Content__InfoResponse reply = CONTENT__INFO_RESPONSE__INIT;
	autoval(blob_info) b = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(digest_check(req->digest));
	TRY(content_info(svc->content, &s, req->digest, &b));
	reply.info = info_to_wire(&b, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *content_handle_update(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Content__UpdateRequest *req = rpc_request(call);
	Content__UpdateResponse reply = CONTENT__UPDATE_RESPONSE__INIT;
	struct paths paths = mask_paths(req->update_mask);
	autoval(strmap) labels = STRMAP_INIT;
	autoval(blob_info) b = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	if (!req->info)
		return err_new(ERR_INVALID, "info required");
	TRY(digest_check(req->info->digest));
	strmap_from_wire(&labels, req->info->n_labels, req->info->labels);
	TRY(content_update(svc->content, &s, req->info->digest, &labels, paths.items, paths.n, &b));
	reply.info = info_to_wire(&b, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *send_infos(struct rpc_call *call, const struct blob_info *infos, size_t n)
{
	Content__ListContentResponse reply = CONTENT__LIST_CONTENT_RESPONSE__INIT;
	autoptr(arena) arena = arena_new();

	reply.n_info = n;
	reply.info = arena_array(arena, n, sizeof(*reply.info));
	for (size_t i = 0; i < n; i++)
		reply.info[i] = info_to_wire(&infos[i], arena);
	return rpc_send(call, &reply);
}

static struct err *content_handle_list(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Content__ListContentRequest *req = rpc_request(call);
	autoval(blob_list) list = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(content_list(svc->content, &s, req->filters, req->n_filters, &list));
	for (size_t i = 0; i < list.n; i += INFOS_PER_MESSAGE)
		TRY(send_infos(call, list.items + i, MIN(list.n - i, (size_t)INFOS_PER_MESSAGE)));
	return NULL;
}

static struct err *content_handle_delete(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Content__DeleteContentRequest *req = rpc_request(call);
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(digest_check(req->digest));
	TRY(content_delete(svc->content, &s, req->digest));
	collector_poke(svc->collector);
	return reply_empty(call);
}

/* Sends [offset, offset + size) of the blob; offsets in the replies count from the first byte sent,
 * as containerd's do. */
static struct err *send_range(struct rpc_call *call, int fd, int64_t offset, int64_t size)
{
	size_t chunk = (size_t)MIN(size, (int64_t)READ_CHUNK);
	autofree uint8_t *data = xmalloc(chunk);

	for (int64_t sent = 0; sent < size;) {
		Content__ReadContentResponse reply = CONTENT__READ_CONTENT_RESPONSE__INIT;
		ssize_t n =
			pread(fd, data, (size_t)MIN((int64_t)chunk, size - sent), offset + sent);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(errno, "read blob");
		if (n == 0)
			return err_new(ERR_DATA_LOSS, "blob ends %lld bytes early",
				(long long)(size - sent));
		reply.offset = sent;
		reply.data.data = data;
		reply.data.len = (size_t)n;
		TRY(rpc_send(call, &reply));
		sent += n;
	}
	return NULL;
}

static struct err *content_handle_read(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Content__ReadContentRequest *req = rpc_request(call);
	int64_t total, offset = MAX(req->offset, (int64_t)0), size = req->size;
	autofd fd = -1;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(digest_check(req->digest));
	TRY(content_read(svc->content, &s, req->digest, &fd, &total));
	if (offset > total)
		return err_new(ERR_RANGE, "read past object length %lld bytes", (long long)total);
	if (size <= 0 || size > total - offset)
		size = total - offset;
	return send_range(call, fd, offset, size);
}

static struct err *content_handle_status(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Content__StatusRequest *req = rpc_request(call);
	Content__StatusResponse reply = CONTENT__STATUS_RESPONSE__INIT;
	autoval(ingest_status) st = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(err_wrap(content_ingest_status(svc->content, &s, req->ref, &st),
		"could not get status for ref \"%s\"", req->ref));
	reply.status = status_to_wire(&st, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *content_handle_list_statuses(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Content__ListStatusesRequest *req = rpc_request(call);
	Content__ListStatusesResponse reply = CONTENT__LIST_STATUSES_RESPONSE__INIT;
	autoval(ingest_status_list) list = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(content_ingest_list(svc->content, &s, req->filters, req->n_filters, &list));
	reply.n_statuses = list.n;
	reply.statuses = arena_array(rpc_arena(call), list.n, sizeof(*reply.statuses));
	for (size_t i = 0; i < list.n; i++)
		reply.statuses[i] = status_to_wire(&list.items[i], rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *content_handle_abort(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Content__AbortRequest *req = rpc_request(call);
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(content_ingest_abort(svc->content, &s, req->ref));
	return reply_empty(call);
}

/* --- Write: a conversation over one ingest --- */

struct write {
	struct services *svc;
	struct rpc_call *call;
	struct scope scope;
	struct content_ingest *ingest;
	char *ref;
	char *expected; /* the latest the client gave, or NULL */
	int64_t total;
};

static void write_done(struct write *w)
{
	content_ingest_close(w->ingest);
	free(w->ref);
	free(w->expected);
}
DEFINE_AUTOVAL(write, write_done);

/* Takes up the digest and size that a message announces. A blob that is there already ends the
 * write. */
static struct err *write_announce(struct write *w, const Content__WriteContentRequest *req)
{
	autoval(blob_info) known = {0};
	struct err *e;

	if (req->total > 0)
		w->total = req->total;
	if (str_empty(req->expected) || str_eq(w->expected, req->expected))
		return NULL;
	TRY(digest_check(req->expected));
	free(w->expected);
	w->expected = xstrdup(req->expected);
	e = content_info(w->svc->content, &w->scope, w->expected, &known);
	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		return NULL;
	}
	TRY(e);
	content_ingest_close(TAKE(w->ingest));
	err_free(content_ingest_abort(w->svc->content, &w->scope, w->ref));
	return err_new(ERR_EXISTS, "blob with expected digest %s exists", w->expected);
}

static struct err *write_data(
	struct write *w, const Content__WriteContentRequest *req, int64_t *offset)
{
	if (req->offset > 0 && req->offset != *offset)
		return err_new(ERR_RANGE, "write @%lld must occur at current offset %lld",
			(long long)req->offset, (long long)*offset);
	if (req->offset < 0)
		return err_new(ERR_INVALID, "negative offset %lld", (long long)req->offset);
	TRY(content_ingest_write(w->ingest, req->offset, req->data.data, req->data.len));
	*offset = req->offset + (int64_t)req->data.len;
	return NULL;
}

static struct err *write_commit(struct write *w, const Content__WriteContentRequest *req)
{
	autoval(strmap) labels = STRMAP_INIT;

	strmap_from_wire(&labels, req->n_labels, req->labels);
	TRY(content_ingest_commit(TAKE(w->ingest), w->total, w->expected, &labels));
	collector_poke(w->svc->collector);
	return NULL;
}

/* One message of the client and our answer to it. */
static struct err *write_step(struct write *w, const Content__WriteContentRequest *req)
{
	Content__WriteContentResponse reply = CONTENT__WRITE_CONTENT_RESPONSE__INIT;
	autoptr(arena) arena = arena_new();
	autoval(ingest_status) now = {0};
	char digest[DIGEST_MAX] = "";

	TRY(write_announce(w, req));
	content_ingest_current(w->ingest, &now);
	reply.action = req->action;
	reply.offset = now.offset;
	if (req->action == CONTENT__WRITE_ACTION__STAT) {
		content_ingest_digest(w->ingest, digest);
		reply.started_at = timestamp_to_wire(now.started_at, arena);
		reply.updated_at = timestamp_to_wire(now.updated_at, arena);
		reply.total = w->total;
	} else {
		TRY(write_data(w, req, &reply.offset));
		content_ingest_digest(w->ingest, digest);
		if (req->action == CONTENT__WRITE_ACTION__COMMIT)
			TRY(write_commit(w, req));
	}
	reply.digest = digest;
	return rpc_send(w->call, &reply);
}

static struct err *write_open(struct write *w, const Content__WriteContentRequest *req)
{
	if (str_empty(req->ref))
		return err_new(ERR_INVALID, "first message must have a reference");
	if (req->total < 0)
		return err_new(ERR_INVALID, "negative total %lld", (long long)req->total);
	if (!str_empty(req->expected))
		TRY(digest_check(req->expected));
	w->ref = xstrdup(req->ref);
	w->total = req->total;
	return content_ingest_open(w->svc->content, &w->scope, w->ref, req->total,
		str_empty(req->expected) ? NULL : req->expected, &w->ingest);
}

static struct err *content_handle_write(struct rpc_call *call, void *impl)
{
	autoval(write) w = {.svc = impl, .call = call};
	Content__WriteContentRequest *req;
	bool committed = false;

	TRY(call_scope(call, &w.scope));
	TRY(rpc_recv_transient(call, (void **)&req));
	if (!req)
		return err_new(ERR_INVALID, "first message must have a reference");
	TRY(write_open(&w, req));
	while (req && !committed) {
		committed = req->action == CONTENT__WRITE_ACTION__COMMIT;
		TRY(write_step(&w, req));
		if (!committed)
			TRY(rpc_recv_transient(call, (void **)&req));
	}
	return NULL;
}

static const struct rpc_method methods[] = {
	{"Info", RPC_UNARY, LANE_NORMAL, &content__info_request__descriptor,
		&content__info_response__descriptor, content_handle_info},
	{"Update", RPC_UNARY, LANE_NORMAL, &content__update_request__descriptor,
		&content__update_response__descriptor, content_handle_update},
	{"List", RPC_SERVER_STREAM, LANE_BULK, &content__list_content_request__descriptor,
		&content__list_content_response__descriptor, content_handle_list},
	{"Delete", RPC_UNARY, LANE_NORMAL, &content__delete_content_request__descriptor,
		&google__protobuf__empty__descriptor, content_handle_delete},
	{"Read", RPC_SERVER_STREAM, LANE_BULK, &content__read_content_request__descriptor,
		&content__read_content_response__descriptor, content_handle_read},
	{"Status", RPC_UNARY, LANE_NORMAL, &content__status_request__descriptor,
		&content__status_response__descriptor, content_handle_status},
	{"ListStatuses", RPC_UNARY, LANE_NORMAL, &content__list_statuses_request__descriptor,
		&content__list_statuses_response__descriptor, content_handle_list_statuses},
	{"Write", RPC_BIDI, LANE_BULK, &content__write_content_request__descriptor,
		&content__write_content_response__descriptor, content_handle_write},
	{"Abort", RPC_UNARY, LANE_NORMAL, &content__abort_request__descriptor,
		&google__protobuf__empty__descriptor, content_handle_abort},
};

const struct rpc_service content_service = {
	"containerd.services.content.v1.Content", methods, ARRAY_LEN(methods)};
