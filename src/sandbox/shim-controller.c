// SPDX-License-Identifier: Apache-2.0
#include "sandbox/shim-controller.h"

#include <assert.h>
#include <errno.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/identifier.h"
#include "base/log.h"
#include "proto/types.pb-c.h"
#include "runtime/bundle.h"
#include "sandbox/shim-internal.h"

#define THREADS 8

/* --- the map --- */

static char *box_key(const char *ns, const char *id)
{
	return xasprintf("%s/%s", ns, id);
}

struct box *box_ref(struct box *b)
{
	ref_get(&b->ref);
	return b;
}

void box_unref(struct box *b)
{
	if (!b || !ref_put(&b->ref))
		return;
	shim_done(&b->shim);
	free(b);
}

/* Takes the name; busy. */
static struct err *reserve(
	struct shim_controller *c, const char *ns, const char *id, struct box **ret)
{
	autofree char *key = box_key(ns, id);
	struct box *b;

	LOCKED(&c->lock);
	if (map_get(&c->boxes, key))
		return err_new(ERR_EXISTS, "sandbox %s already running: already exists", id);
	b = NEW(struct box);
	ref_init(&b->ref);
	b->c = c;
	b->busy = 1;
	shim_init(&b->shim, &c->host, ns, id);
	list_init(&b->waits);
	map_set(&c->boxes, key, b);
	*ret = box_ref(b);
	return NULL;
}

struct err *box_find(struct shim_controller *c, const char *ns, const char *id, struct box **ret)
{
	autofree char *key = box_key(ns, id);
	struct box *b;

	LOCKED(&c->lock);
	b = map_get(&c->boxes, key);
	if (!b || b->state != BOX_LIVE)
		return err_new(ERR_NOT_FOUND, "sandbox \"%s\": not found", id);
	*ret = box_ref(b);
	return NULL;
}

static bool box_claim(struct box *b)
{
	LOCKED(&b->c->lock);
	if (b->state == BOX_ENDING)
		return false;
	b->state = BOX_ENDING;
	return true;
}

static void box_leave(struct box *b)
{
	autofree char *key = box_key(b->shim.ns, b->shim.id);
	struct box *in_map;

	lock_take(&b->c->lock);
	in_map = map_get(&b->c->boxes, key) == b ? map_del(&b->c->boxes, key) : NULL;
	lock_drop(&b->c->lock);
	box_unref(in_map);
}

/* --- going --- */

/* Behind a shim that is gone; the box is claimed. */
static void bury(struct box *b)
{
	(void)shim_clean_up(&b->shim, 0);
	shim_disconnect(&b->shim);
	shim_remove_bundle(&b->shim);
	shim_remove_socket(&b->shim);
	box_leave(b);
}

static void bury_lost(void *arg)
{
	struct box *b = arg;

	log_info("shim disconnected, cleaning up", "sandbox", b->shim.id, "namespace", b->shim.ns);
	bury(b);
	box_unref(b);
}

static void on_lost(void *arg)
{
	struct box *b = arg;
	autoptr(err) e = NULL;

	LOCKED(&b->c->lock);
	b->lost = true;
	if (b->busy || b->state != BOX_LIVE || b->c->stopping)
		return;
	b->state = BOX_ENDING;
	e = pool_submit(b->c->pool, LANE_NORMAL, bury_lost, box_ref(b));
	if (e) {
		log_error("clean up behind shim", "sandbox", b->shim.id, "error", err_message(e));
		box_unref(b);
	}
}

static void make_busy(struct box *b)
{
	LOCKED(&b->c->lock);
	b->busy++;
}

/* With `live`, it may be found from now on. */
static void end_busy(struct box *b, bool live)
{
	bool lost;

	lock_take(&b->c->lock);
	if (live && b->state == BOX_STARTING)
		b->state = BOX_LIVE;
	b->busy--;
	lost = b->lost;
	lock_drop(&b->c->lock);
	if (lost)
		on_lost(b);
}

static void take_down(struct box *b)
{
	shim_disconnect(&b->shim);
	shim_remove_bundle(&b->shim);
	box_leave(b);
}

#define CALL(b, method, request, reply, timeout_ms, cancel, arena, ret)                            \
	ttrpc_call((b)->shim.client, (b)->shim.ns, SANDBOX_SERVICE, method, request,               \
		&shimsb__##reply##_response__descriptor, timeout_ms, cancel, arena,                \
		(void **)(ret))

/* Has the shim go, whatever it answers; the box is claimed. */
static void abandon(struct box *b)
{
	Shimsb__ShutdownSandboxRequest request = SHIMSB__SHUTDOWN_SANDBOX_REQUEST__INIT;
	int64_t timeout_ms = b->c->host.options.cleanup_timeout_ms;
	autoptr(arena) arena = arena_new();
	autoptr(err) e = NULL;
	void *m;

	request.sandbox_id = b->shim.id;
	e = CALL(b, "ShutdownSandbox", &request, shutdown_sandbox, timeout_ms, NULL, arena, &m);
	if (err_is_closed(e)) {
		bury(b);
		return;
	}
	if (e) {
		log_debug("failed to shutdown sandbox", "sandbox", b->shim.id, "error",
			err_message(e));
		/* One without sandboxes, or that has none yet. */
		shim_shut_down(&b->shim);
	}
	take_down(b);
}

/* After a start that failed; the box is claimed. */
static void discard(struct box *b)
{
	autoptr(err) e = b->shim.client ? NULL : shim_find_leftover(&b->shim, on_lost, b);

	if (e)
		bury(b);
	else
		abandon(b);
}

/* --- create and start --- */

static Types__Mount **mounts_to_wire(const struct mounts *from, struct arena *arena)
{
	Types__Mount **to = arena_array(arena, from->n, sizeof(*to));

	for (size_t i = 0; i < from->n; i++) {
		to[i] = ARENA_NEW(arena, Types__Mount);
		types__mount__init(to[i]);
		to[i]->type = (char *)str_or(from->items[i].type, "");
		to[i]->source = (char *)str_or(from->items[i].source, "");
		to[i]->target = (char *)str_or(from->items[i].target, "");
		to[i]->options = from->items[i].options.items;
		to[i]->n_options = from->items[i].options.n;
	}
	return to;
}

static struct err *call_create(struct box *b, const struct sandbox_create *r, struct cancel *cancel)
{
	Shimsb__CreateSandboxRequest request = SHIMSB__CREATE_SANDBOX_REQUEST__INIT;
	autoptr(arena) arena = arena_new();
	void *m;

	request.sandbox_id = b->shim.id;
	request.bundle_path = b->shim.bundle;
	request.netns_path = (char *)str_or(r->netns_path, "");
	if (r->options)
		request.options = any_to_wire(r->options, arena);
	if (r->rootfs) {
		request.n_rootfs = r->rootfs->n;
		request.rootfs = mounts_to_wire(r->rootfs, arena);
	}
	if (r->annotations)
		request.annotations = STRMAP_TO_WIRE(r->annotations,
			Shimsb__CreateSandboxRequest__AnnotationsEntry,
			shimsb__create_sandbox_request__annotations_entry__init, arena,
			&request.n_annotations);
	return CALL(b, "CreateSandbox", &request, create_sandbox, 0, cancel, arena, &m);
}

static struct err *launch(struct box *b, const struct sandbox *s, struct cancel *cancel)
{
	TRY(shim_resolve(&b->shim, s->runtime));
	return err_wrap(
		shim_start(&b->shim, &s->runtime_options, cancel, on_lost, b), "start failed");
}

static struct err *create(
	struct sandbox_controller *base, const struct sandbox_create *r, struct cancel *cancel)
{
	struct shim_controller *c = container_of(base, struct shim_controller, base);
	const char *id = str_or(r->sandbox->id, "");
	autoptr(box) b = NULL;
	struct err *e;

	TRY(err_wrap(identifier_check(id), "invalid sandbox ID"));
	TRY(err_wrap(identifier_check(str_or(r->ns, "")), "namespace"));
	TRY(reserve(c, r->ns, id, &b));
	e = shim_make_bundle(&b->shim, &r->sandbox->spec);
	if (!e)
		e = err_wrap(launch(b, r->sandbox, cancel),
			"failed to start new shim for sandbox %s", id);
	if (!e)
		e = err_wrap(call_create(b, r, cancel), "failed to create sandbox %s", id);
	if (!e) {
		end_busy(b, true);
		return NULL;
	}
	if (box_claim(b)) {
		if (b->shim.binary)
			discard(b);
		else
			take_down(b);
	}
	return e;
}

static char *address_of(const struct shim *s)
{
	return xasprintf("ttrpc+%s", s->address);
}

static struct err *start(struct sandbox_controller *base, const char *ns, const char *id,
	struct cancel *cancel, struct sandbox_instance *ret)
{
	struct shim_controller *c = container_of(base, struct shim_controller, base);
	Shimsb__StartSandboxRequest request = SHIMSB__START_SANDBOX_REQUEST__INIT;
	Shimsb__StartSandboxResponse *r;
	autoptr(arena) arena = arena_new();
	autoptr(box) b = NULL;
	autoptr(err) none = box_find(c, ns, id, &b);
	struct err *e;

	if (none)
		return err_new(ERR_UNKNOWN, "unable to find sandbox \"%s\"", id);
	request.sandbox_id = b->shim.id;
	e = CALL(b, "StartSandbox", &request, start_sandbox, 0, cancel, arena, &r);
	if (e) {
		if (box_claim(b))
			abandon(b);
		return err_wrap(e, "failed to start sandbox %s", id);
	}
	*ret = (struct sandbox_instance){.pid = r->pid,
		.created_at = timestamp_from_wire(r->created_at),
		.address = address_of(&b->shim),
		.version = (uint32_t)b->shim.version};
	any_from_wire(&ret->spec, r->spec);
	return NULL;
}

/* --- asking --- */

static struct err *platform(struct sandbox_controller *base, const char *ns, const char *id,
	struct cancel *cancel, struct platform *ret)
{
	struct shim_controller *c = container_of(base, struct shim_controller, base);
	Shimsb__PlatformRequest request = SHIMSB__PLATFORM_REQUEST__INIT;
	Shimsb__PlatformResponse *r;
	autoptr(arena) arena = arena_new();
	autoptr(box) b = NULL;

	TRY(box_find(c, ns, id, &b));
	request.sandbox_id = b->shim.id;
	TRY(err_wrap(CALL(b, "Platform", &request, platform, 0, cancel, arena, &r),
		"failed to get sandbox platform"));
	*ret = (struct platform){
		.os = xstrdup(r->platform ? r->platform->os : ""),
		.architecture = xstrdup(r->platform ? r->platform->architecture : ""),
		.variant = xstrdup(r->platform ? r->platform->variant : ""),
		.os_version = xstrdup(""),
	};
	return NULL;
}

static struct err *stop(struct sandbox_controller *base, const char *ns, const char *id,
	uint32_t timeout_s, struct cancel *cancel)
{
	struct shim_controller *c = container_of(base, struct shim_controller, base);
	Shimsb__StopSandboxRequest request = SHIMSB__STOP_SANDBOX_REQUEST__INIT;
	autoptr(arena) arena = arena_new();
	autoptr(box) b = NULL;
	autoptr(err) e = box_find(c, ns, id, &b);
	void *m;

	if (e)
		return NULL;
	request.sandbox_id = b->shim.id;
	request.timeout_secs = timeout_s;
	e = CALL(b, "StopSandbox", &request, stop_sandbox, 0, cancel, arena, &m);
	if (err_is(e, ERR_NOT_FOUND) || err_is(e, ERR_UNAVAILABLE))
		return NULL;
	return err_wrap(TAKE(e), "failed to stop sandbox");
}

static struct err *status(struct sandbox_controller *base, const char *ns, const char *id,
	bool verbose, struct cancel *cancel, struct sandbox_status *ret)
{
	struct shim_controller *c = container_of(base, struct shim_controller, base);
	Shimsb__SandboxStatusRequest request = SHIMSB__SANDBOX_STATUS_REQUEST__INIT;
	Shimsb__SandboxStatusResponse *r;
	autoptr(arena) arena = arena_new();
	autoptr(box) b = NULL;
	autoptr(err) none = box_find(c, ns, id, &b);

	*ret = (struct sandbox_status){.exited_at = timestamp_now()};
	if (none)
		return NULL;
	request.sandbox_id = b->shim.id;
	request.verbose = verbose;
	TRY(err_wrap(CALL(b, "SandboxStatus", &request, sandbox_status, 0, cancel, arena, &r),
		"failed to query sandbox %s status", id));
	*ret = (struct sandbox_status){.pid = r->pid,
		.state = xstrdup(r->state),
		.created_at = timestamp_from_wire(r->created_at),
		.exited_at = timestamp_from_wire(r->exited_at),
		.address = address_of(&b->shim),
		.version = (uint32_t)b->shim.version};
	strmap_from_wire(&ret->info, r->n_info, r->info);
	any_from_wire(&ret->extra, r->extra);
	return NULL;
}

static struct err *metrics(struct sandbox_controller *base, const char *ns, const char *id,
	struct cancel *cancel, struct sandbox_metric *ret)
{
	struct shim_controller *c = container_of(base, struct shim_controller, base);
	Shimsb__SandboxMetricsRequest request = SHIMSB__SANDBOX_METRICS_REQUEST__INIT;
	Shimsb__SandboxMetricsResponse *r;
	autoptr(arena) arena = arena_new();
	autoptr(box) b = NULL;

	TRY(box_find(c, ns, id, &b));
	request.sandbox_id = b->shim.id;
	TRY(CALL(b, "SandboxMetrics", &request, sandbox_metrics, 0, cancel, arena, &r));
	*ret = (struct sandbox_metric){.id = xstrdup("")};
	if (!r->metrics)
		return NULL;
	free(ret->id);
	ret->id = xstrdup(r->metrics->id);
	ret->at = timestamp_from_wire(r->metrics->timestamp);
	any_from_wire(&ret->data, r->metrics->data);
	return NULL;
}

static struct err *shutdown_box(struct box *b, struct cancel *cancel)
{
	Shimsb__ShutdownSandboxRequest request = SHIMSB__SHUTDOWN_SANDBOX_REQUEST__INIT;
	autoptr(arena) arena = arena_new();
	struct err *e;
	void *m;

	request.sandbox_id = b->shim.id;
	make_busy(b);
	e = CALL(b, "ShutdownSandbox", &request, shutdown_sandbox, 0, cancel, arena, &m);
	if (!e && box_claim(b))
		take_down(b);
	end_busy(b, false);
	if (!err_is_closed(e))
		return err_wrap(e, "failed to shutdown sandbox");
	err_free(e);
	return err_new(ERR_NOT_FOUND, "sandbox \"%s\": not found", b->shim.id);
}

static struct err *shutdown(
	struct sandbox_controller *base, const char *ns, const char *id, struct cancel *cancel)
{
	struct shim_controller *c = container_of(base, struct shim_controller, base);
	autoptr(box) b = NULL;

	TRY(box_find(c, ns, id, &b));
	return shutdown_box(b, cancel);
}

/* The shims' API has no call for it. */
static struct err *update(struct sandbox_controller *c, const char *ns, const char *id,
	const struct sandbox *sandbox, char *const *fields, size_t n_fields, struct cancel *cancel)
{
	return NULL;
}

struct err *shim_controller_endpoint(
	struct sandbox_controller *base, const char *ns, const char *id, struct bootstrap *ret)
{
	struct shim_controller *c = container_of(base, struct shim_controller, base);
	autoptr(box) b = NULL;

	TRY(err_wrap(box_find(c, ns, id, &b), "can't find shim for sandbox %s", id));
	*ret = (struct bootstrap){.version = b->shim.version,
		.address = xstrdup(b->shim.address),
		.protocol = xstrdup("ttrpc")};
	return NULL;
}

/* --- after a restart --- */

static struct err *ping(struct box *b)
{
	Shimsb__PingRequest request = SHIMSB__PING_REQUEST__INIT;
	autoptr(arena) arena = arena_new();
	void *m;

	request.sandbox_id = b->shim.id;
	return CALL(b, "PingSandbox", &request, ping, b->c->host.options.load_timeout_ms, NULL,
		arena, &m);
}

static void load_box(void *arg)
{
	autoptr(box) b = arg;
	autofree char *binary = bundle_read(b->shim.bundle, "shim-binary-path");
	autoptr(err) no_binary = shim_resolve(&b->shim, str_or(binary, ""));
	autoptr(err) e = shim_reattach(&b->shim, on_lost, b);
	bool reached = !e;

	if (no_binary)
		log_warn("find shim", "sandbox", b->shim.id, "error", err_message(no_binary));
	if (reached)
		e = ping(b);
	/* Whatever else it answers, it is there. */
	if (reached && !err_is_closed(e) && !err_is(e, ERR_NOT_FOUND)) {
		if (e)
			log_warn("ask for sandbox", "sandbox", b->shim.id, "error", err_message(e));
		end_busy(b, true);
		return;
	}
	log_warn("sandbox is gone, cleaning up", "sandbox", b->shim.id, "namespace", b->shim.ns,
		"error", err_message(e));
	if (!box_claim(b))
		return;
	if (reached && err_is(e, ERR_NOT_FOUND))
		abandon(b); /* the daemon ended before it was created */
	else
		bury(b);
}

struct loading {
	struct shim_controller *c;
	struct pool *pool;
};

static void load_bundle(void *arg, const char *ns, const char *id, const char *path)
{
	struct loading *l = arg;
	struct box *b;
	autoptr(err) e = reserve(l->c, ns, id, &b);

	if (e)
		return;
	b->shim.bundle = xstrdup(path);
	e = pool_submit(l->pool, LANE_NORMAL, load_box, b);
	if (e)
		load_box(b);
}

static bool is_box(void *arg, const char *ns, const char *id)
{
	struct shim_controller *c = arg;
	autofree char *key = box_key(ns, id);

	LOCKED(&c->lock);
	return map_get(&c->boxes, key) != NULL;
}

static const struct pool_limits limits = {
	.threads = {[LANE_NORMAL] = THREADS},
	.queue = {[LANE_NORMAL] = 1 << 20},
};

struct err *shim_controller_load(struct sandbox_controller *base)
{
	struct shim_controller *c = container_of(base, struct shim_controller, base);
	struct loading l = {.c = c, .pool = pool_new("sandboxes", &limits)};

	shim_each_bundle(&c->host, load_bundle, &l);
	pool_free(l.pool); /* waits for them */
	shim_sweep_work(&c->host, is_box, c);
	return NULL;
}

/* --- the controller --- */

static const struct sandbox_controller_ops ops = {
	.create = create,
	.start = start,
	.platform = platform,
	.stop = stop,
	.wait = box_wait,
	.forget = box_wait_forget,
	.status = status,
	.shutdown = shutdown,
	.metrics = metrics,
	.update = update,
};

static struct err *keep_private(const char *path)
{
	return chmod(path, 0700) < 0 ? err_sys(errno, "chmod %s", path) : NULL;
}

struct err *shim_controller_new(
	struct loop *loop, const struct shim_options *options, struct sandbox_controller **ret)
{
	struct shim_controller *c;
	struct err *e;

	TRY(mkdir_p(options->root, 0700));
	TRY(mkdir_p(options->state, 0700));
	TRY(keep_private(options->root));
	TRY(keep_private(options->state));
	c = NEW(struct shim_controller);
	c->base.ops = &ops;
	e = shim_host_init(&c->host, loop, options);
	if (e) {
		free(c);
		return e;
	}
	lock_init(&c->lock);
	c->pool = pool_new("sandboxes", &limits);
	*ret = &c->base;
	return NULL;
}

static void drop_box(void *b)
{
	box_unref(b);
}

void shim_controller_free(struct sandbox_controller *base)
{
	struct shim_controller *c;
	const char *key;
	void *b;

	if (!base)
		return;
	c = container_of(base, struct shim_controller, base);
	assert(!loop_is_current(c->host.loop));
	lock_take(&c->lock);
	c->stopping = true;
	lock_drop(&c->lock);
	pool_free(c->pool);
	/* Nobody else is left who could change the map. */
	for (size_t i = 0; map_next(&c->boxes, &i, &key, &b);)
		shim_disconnect(&((struct box *)b)->shim);
	shim_host_settle(&c->host);
	map_done(&c->boxes, drop_box);
	shim_host_done(&c->host);
	lock_done(&c->lock);
	free(c);
}
