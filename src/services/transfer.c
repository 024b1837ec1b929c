// SPDX-License-Identifier: Apache-2.0
/* Transfer: which job a pair of ends asks for, and the ends themselves. */
#include "transfer/transfer.h"

#include "base/alloc.h"
#include "base/log.h"
#include "proto/transfer-types.pb-c.h"
#include "proto/transfer.pb-c.h"
#include "services/convert.h"
#include "services/services.h"

#define STORE "containerd.types.transfer.ImageStore"
#define IMPORT "containerd.types.transfer.ImageImportStream"
#define EXPORT "containerd.types.transfer.ImageExportStream"

/*
 * One call: what it asks for, and the streams that it has in use. The call is parked although its
 * handler goes on working: so a caller who hangs up ends a wait for a stream that is still open.
 */
struct job {
	struct services *svc;
	struct rpc_call *call;
	struct scope scope;
	const Transfer__TransferRequest *request;
	struct lock lock;
	struct stream *from, *to, *progress; /* set and dropped under the lock */
};

static void job_cancelled(struct rpc_call *call, void *arg)
{
	struct job *j = arg;

	LOCKED(&j->lock);
	if (j->from)
		stream_stop(j->from);
	if (j->to)
		stream_stop(j->to);
}

static struct err *use_stream(struct job *j, const char *id, struct stream **slot)
{
	struct stream *s;

	TRY(streams_use(j->svc->streams, &j->scope, id, &s));
	lock_take(&j->lock);
	*slot = s;
	lock_drop(&j->lock);
	return cancel_check(rpc_cancel(j->call));
}

static void end_stream(struct job *j, struct stream **slot)
{
	struct stream *s;

	lock_take(&j->lock);
	s = TAKE(*slot);
	lock_drop(&j->lock);
	streams_end(j->svc->streams, s);
}

/* --- from messages --- */

static void platform_from_wire(struct platform *to, const Types__Platform *from)
{
	*to = PLATFORM_INIT;
	if (from) {
		to->os = xstrdup(from->os);
		to->architecture = xstrdup(from->architecture);
		to->variant = xstrdup(from->variant);
		to->os_version = xstrdup(from->os_version);
		for (size_t i = 0; i < from->n_os_features; i++)
			strv_add(&to->os_features, from->os_features[i]);
	}
	platform_normalize(to);
}

struct platforms {
	struct platform *items;
	size_t n;
};

static void platforms_done(struct platforms *p)
{
	for (size_t i = 0; i < p->n; i++)
		platform_done(&p->items[i]);
	free(p->items);
}
DEFINE_AUTOVAL(platforms, platforms_done);

static struct platforms platforms_from_wire(Types__Platform *const *from, size_t n)
{
	struct platforms p = {xcalloc(n + 1, sizeof(*p.items)), n};

	for (size_t i = 0; i < n; i++)
		platform_from_wire(&p.items[i], from[i]);
	return p;
}

/* An image store as an end of a transfer. */
struct store_end {
	struct transfer_store store;
	struct strmap labels;
	struct platforms platforms;
	struct transfer_unpack *unpacks;
};

static void store_end_done(struct store_end *s)
{
	strmap_done(&s->labels);
	platforms_done(&s->platforms);
	for (size_t i = 0; i < s->store.n_unpacks; i++)
		platform_done(&s->unpacks[i].platform);
	free(s->unpacks);
}
DEFINE_AUTOVAL(store_end, store_end_done);

static const struct transfer_reference *references_from_wire(
	Xfer__ImageReference *const *from, size_t n, struct arena *arena)
{
	struct transfer_reference *list = arena_array(arena, n, sizeof(*list));

	for (size_t i = 0; i < n; i++)
		list[i] = (struct transfer_reference){
			.name = from[i]->name,
			.is_prefix = from[i]->is_prefix,
			.allow_overwrite = from[i]->allow_overwrite,
			.add_digest = from[i]->add_digest,
			.skip_named_digest = from[i]->skip_named_digest,
		};
	return list;
}

/* The names stay in the call's arena. */
static struct err *read_store(
	struct job *j, const Google__Protobuf__Any *any, struct store_end *ret)
{
	struct arena *arena = rpc_arena(j->call);
	Xfer__ImageStore *w;

	TRY(message_from_any(any, &xfer__image_store__descriptor, arena, (void **)&w));
	strmap_from_wire(&ret->labels, w->n_labels, w->labels);
	ret->platforms = platforms_from_wire(w->platforms, w->n_platforms);
	ret->unpacks = xcalloc(w->n_unpacks + 1, sizeof(*ret->unpacks));
	for (size_t i = 0; i < w->n_unpacks; i++) {
		platform_from_wire(&ret->unpacks[i].platform, w->unpacks[i]->platform);
		ret->unpacks[i].snapshotter = w->unpacks[i]->snapshotter;
	}
	ret->store = (struct transfer_store){
		.name = w->name,
		.labels = &ret->labels,
		.platforms = ret->platforms.items,
		.n_platforms = ret->platforms.n,
		.all_metadata = w->all_metadata,
		.manifest_limit = w->manifest_limit,
		.references =
			references_from_wire(w->extra_references, w->n_extra_references, arena),
		.n_references = w->n_extra_references,
		.unpacks = ret->unpacks,
		.n_unpacks = w->n_unpacks,
	};
	return NULL;
}

static struct err *read_import(struct job *j, Xfer__ImageImportStream **ret)
{
	TRY(message_from_any(j->request->source, &xfer__image_import_stream__descriptor,
		rpc_arena(j->call), (void **)ret));
	return use_stream(j, (*ret)->stream, &j->from);
}

static struct err *read_export(struct job *j, Xfer__ImageExportStream **ret)
{
	TRY(message_from_any(j->request->destination, &xfer__image_export_stream__descriptor,
		rpc_arena(j->call), (void **)ret));
	return use_stream(j, (*ret)->stream, &j->to);
}

/* --- progress --- */

/* A client that does not read misses events, no more. */
static void emit(void *arg, const char *event, const char *name, const struct descriptor *d)
{
	struct job *j = arg;
	autoptr(arena) arena = arena_new();
	autoptr(err) e = NULL;
	autoval(any) any = ANY_INIT;
	Xfer__Progress p = XFER__PROGRESS__INIT;

	if (!j->progress)
		return;
	p.event = arena_strdup(arena, event);
	p.name = arena_strdup(arena, str_or(name, ""));
	if (d)
		p.desc = descriptor_to_wire(d, arena);
	any_from_wire(&any, message_to_any(&p, arena));
	e = stream_post(j->progress, &any);
	if (e)
		log_debug("progress of a transfer not sent", "error", err_message(e));
}

static struct err *use_progress(struct job *j)
{
	const Transfer__TransferOptions *options = j->request->options;

	if (!options || str_empty(options->progress_stream))
		return NULL;
	return use_stream(j, options->progress_stream, &j->progress);
}

/* --- the pairs --- */

static struct err *run_import(struct job *j)
{
	const struct transfer_progress progress = {emit, j};
	autoval(store_end) to = {0};
	Xfer__ImageImportStream *from;

	TRY(read_import(j, &from));
	TRY(read_store(j, j->request->destination, &to));
	TRY(transfer_import(j->svc->transfer, &j->scope, j->from, from->force_compress, &to.store,
		&progress, rpc_cancel(j->call)));
	collector_poke(j->svc->collector);
	return NULL;
}

static struct err *run_export(struct job *j)
{
	const struct transfer_progress progress = {emit, j};
	autoval(store_end) from = {0};
	autoval(platforms) platforms = {0};
	Xfer__ImageExportStream *to;

	TRY(read_store(j, j->request->source, &from));
	TRY(read_export(j, &to));
	platforms = platforms_from_wire(to->platforms, to->n_platforms);
	struct transfer_export options = {
		.platforms = platforms.items,
		.n_platforms = platforms.n,
		.all_platforms = to->all_platforms,
		.skip_docker_manifest = to->skip_compatibility_manifest,
		.skip_non_distributable = to->skip_non_distributable,
	};

	return transfer_export(j->svc->transfer, &j->scope, &from.store, &options, j->to, &progress,
		rpc_cancel(j->call));
}

static struct err *run_tag(struct job *j)
{
	autoval(store_end) from = {0};
	autoval(store_end) to = {0};

	TRY(read_store(j, j->request->source, &from));
	TRY(read_store(j, j->request->destination, &to));
	return transfer_tag(j->svc->transfer, &j->scope, &from.store, &to.store);
}

static struct err *run_echo(struct job *j)
{
	Xfer__ImageImportStream *from;
	Xfer__ImageExportStream *to;

	TRY(read_import(j, &from));
	TRY(read_export(j, &to));
	return transfer_echo(j->from, j->to);
}

static const struct pair {
	const char *source, *destination;
	struct err *(*run)(struct job *j);
} pairs[] = {
	{IMPORT, STORE, run_import},
	{STORE, EXPORT, run_export},
	{STORE, STORE, run_tag},
	{IMPORT, EXPORT, run_echo},
};

static const char *type_of(const Google__Protobuf__Any *any)
{
	return any ? str_or(any->type_url, "") : "";
}

static struct err *run(struct job *j)
{
	const Google__Protobuf__Any *from = j->request->source, *to = j->request->destination;

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		if (any_is(from, pairs[i].source) && any_is(to, pairs[i].destination))
			return pairs[i].run(j);
	return err_new(ERR_UNIMPLEMENTED, "method Transfer not implemented for %s to %s",
		type_of(from), type_of(to));
}

static struct err *transfer_handle_transfer(struct rpc_call *call, void *impl)
{
	struct job j = {.svc = impl, .call = call, .request = rpc_request(call)};
	struct err *e;

	TRY(call_scope(call, &j.scope));
	lock_init(&j.lock);
	rpc_park(call, job_cancelled, &j);
	e = use_progress(&j);
	if (!e)
		e = run(&j);
	end_stream(&j, &j.from);
	end_stream(&j, &j.to);
	end_stream(&j, &j.progress);
	rpc_finish(call, e ? e : reply_empty(call));
	lock_done(&j.lock);
	return NULL;
}

static const struct rpc_method methods[] = {
	{"Transfer", RPC_UNARY, LANE_BULK, &transfer__transfer_request__descriptor,
		&google__protobuf__empty__descriptor, transfer_handle_transfer},
};

const struct rpc_service transfer_service = {
	"containerd.services.transfer.v1.Transfer", methods, ARRAY_LEN(methods)};
