// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/digest.h"
#include "base/fs.h"
#include "base/identifier.h"
#include "base/log.h"
#include "google/protobuf/empty.pb-c.h"
#include "proto/shim-v3.pb-c.h"
#include "runtime/bundle.h"
#include "runtime/shim-binary.h"

#define SOCKET_DIR "/run/containerd/s"
#define SERVICE_V2 "containerd.task.v2.Task"
#define SERVICE_V3 "containerd.task.v3.Task"
#define LOAD_TIMEOUT_MS 5000
#define CLEANUP_TIMEOUT_MS 5000
#define SHUTDOWN_TIMEOUT_MS 3000
#define EXIT_UNKNOWN 255
/* How often a thread that waits for the loop looks whether there still is one. */
#define LOOP_ENDED_MS 50

/* --- what they have in common --- */

static void default_ms(int64_t *ms, int64_t otherwise)
{
	if (*ms <= 0)
		*ms = otherwise;
}

struct err *shim_host_init(
	struct shim_host *h, struct loop *loop, const struct shim_options *options)
{
	struct shim_options *o = &h->options;

	TRY(mkdir_p(options->root, 0711));
	TRY(mkdir_p(options->state, 0711));
	*h = (struct shim_host){.loop = loop, .options = *options};
	o->root = xstrdup(options->root);
	o->state = xstrdup(options->state);
	o->address = xstrdup(options->address);
	o->ttrpc_address = xstrdup(options->ttrpc_address);
	o->daemon_path = xstrdup(options->daemon_path);
	o->version = xstrdup(options->version);
	o->socket_dir = xstrdup(options->socket_dir);
	if (options->shim_env)
		strv_add_all(&h->env, options->shim_env);
	o->shim_env = &h->env;
	default_ms(&o->load_timeout_ms, LOAD_TIMEOUT_MS);
	default_ms(&o->cleanup_timeout_ms, CLEANUP_TIMEOUT_MS);
	default_ms(&o->shutdown_timeout_ms, SHUTDOWN_TIMEOUT_MS);
	shim_binaries_init(&h->binaries);
	return NULL;
}

void shim_host_done(struct shim_host *h)
{
	shim_binaries_done(&h->binaries);
	strv_done(&h->env);
	free((char *)h->options.root);
	free((char *)h->options.state);
	free((char *)h->options.address);
	free((char *)h->options.ttrpc_address);
	free((char *)h->options.daemon_path);
	free((char *)h->options.version);
	free((char *)h->options.socket_dir);
}

struct barrier {
	struct lock lock;
	struct cond cond;
	bool passed; /* guarded by lock */
};

static void pass(void *arg)
{
	struct barrier *b = arg;

	LOCKED(&b->lock);
	b->passed = true;
	cond_signal(&b->cond);
}

void shim_host_settle(struct shim_host *h)
{
	struct loop *l = h->loop;
	struct barrier *b;

	if (!loop_is_running(l))
		return;
	b = NEW(struct barrier);
	lock_init(&b->lock);
	cond_init(&b->cond);
	loop_post(l, pass, b);
	lock_take(&b->lock);
	while (!b->passed && loop_is_running(l))
		cond_wait_until(&b->cond, &b->lock, monotonic_ms() + LOOP_ENDED_MS);
	lock_drop(&b->lock);
	cond_done(&b->cond);
	lock_done(&b->lock);
	free(b);
}

void shim_init(struct shim *s, struct shim_host *host, const char *ns, const char *id)
{
	*s = (struct shim){.host = host, .ns = xstrdup(ns), .id = xstrdup(id)};
	atomic_init(&s->version, SHIM_VERSION_MAX);
}

void shim_done(struct shim *s)
{
	ttrpc_client_free(s->client);
	shim_log_close(s->log);
	free(s->ns);
	free(s->id);
	free(s->bundle);
	free(s->binary);
	free(s->address);
}

/* --- coming up --- */

struct err *shim_make_bundle(struct shim *s, const struct any *spec)
{
	const struct shim_options *o = &s->host->options;
	struct err *e = bundle_create(o->root, o->state, s->ns, s->id, spec, &s->bundle);
	autofree char *stale = NULL;

	if (!err_is(e, ERR_EXISTS))
		return e;
	err_free(e);
	stale = xasprintf("%s/%s/%s", o->state, s->ns, s->id);
	TRY(bundle_delete(o->root, stale));
	return bundle_create(o->root, o->state, s->ns, s->id, spec, &s->bundle);
}

struct err *shim_resolve(struct shim *s, const char *runtime)
{
	return err_wrap(shim_binary_resolve(&s->host->binaries, runtime,
				s->host->options.daemon_path, &s->binary),
		"failed to resolve runtime path");
}

static void command(const struct shim *s, struct shim_command *ret)
{
	*ret = (struct shim_command){
		.options = &s->host->options,
		.binary = s->binary,
		.ns = s->ns,
		.id = s->id,
		.bundle = s->bundle,
	};
}

static struct err *connect_to(
	struct shim *s, const struct bootstrap *b, void (*lost)(void *arg), void *arg)
{
	s->version = b->version;
	free(s->address);
	s->address = xstrdup(b->address);
	return ttrpc_client_new(s->host->loop, b->address, lost, arg, &s->client);
}

/* The log first: whoever writes to it must find a reader. */
static struct err *prepare(struct shim *s)
{
	TRY(shim_log_open(s->host->loop, s->bundle, &s->log));
	/* So that after a crash it is known who can clean up. */
	return s->binary ? bundle_write(s->bundle, "shim-binary-path", s->binary, 0600) : NULL;
}

struct err *shim_start(struct shim *s, const struct any *options, struct cancel *cancel,
	void (*lost)(void *arg), void *arg)
{
	autoval(bootstrap) b = {0};
	struct shim_command c;

	TRY(prepare(s));
	command(s, &c);
	TRY(shim_binary_start(&s->host->binaries, &c, options, cancel, &b));
	TRY(bootstrap_save(s->bundle, &b));
	return connect_to(s, &b, lost, arg);
}

struct err *shim_attach(
	struct shim *s, const struct bootstrap *b, void (*lost)(void *arg), void *arg)
{
	TRY(prepare(s));
	TRY(bootstrap_save(s->bundle, b));
	return connect_to(s, b, lost, arg);
}

/* Where a shim of its own listens by convention: of one whose start nobody saw the end of. */
static void guess_address(const struct shim *s, struct bootstrap *ret)
{
	const struct shim_options *o = &s->host->options;
	autofree char *text = xasprintf("%s/%s/%s", str_or(o->address, ""), s->ns, s->id);
	char hex[65];

	sha256_hex(text, strlen(text), hex);
	ret->version = SHIM_VERSION_MAX;
	ret->address = xasprintf("unix://%s/%s", str_or(o->socket_dir, SOCKET_DIR), hex);
	ret->protocol = xstrdup("ttrpc");
}

struct err *shim_reattach(struct shim *s, void (*lost)(void *arg), void *arg)
{
	autoval(bootstrap) b = {0};
	autoptr(err) unknown = bootstrap_load(s->bundle, &b);

	if (unknown && !err_is(unknown, ERR_NOT_FOUND))
		return TAKE(unknown);
	if (unknown)
		guess_address(s, &b);
	TRY(shim_log_open(s->host->loop, s->bundle, &s->log));
	TRY(connect_to(s, &b, lost, arg));
	return bootstrap_save(s->bundle, &b);
}

struct err *shim_find_leftover(struct shim *s, void (*lost)(void *arg), void *arg)
{
	autoval(bootstrap) b = {0};

	guess_address(s, &b);
	return connect_to(s, &b, lost, arg);
}

/* --- being there --- */

const char *shim_task_service(const struct shim *s)
{
	return s->version >= 3 ? SERVICE_V3 : SERVICE_V2;
}

bool err_is_closed(const struct err *e)
{
	return err_is(e, ERR_UNAVAILABLE) && strcmp(err_message(e), "ttrpc: closed") == 0;
}

/* A shim that was started by an older binary than the one that announced version 3. */
static bool wants_v2(const struct err *e)
{
	return err_is(e, ERR_UNIMPLEMENTED) && strstr(err_message(e), SERVICE_V3);
}

struct err *shim_task_rpc(struct shim *s, const char *method, const void *request,
	const ProtobufCMessageDescriptor *reply, int64_t timeout_ms, struct cancel *cancel,
	struct arena *arena, void **ret)
{
	/* The messages of both versions are the same bytes. */
	struct err *e = ttrpc_call(s->client, s->ns, shim_task_service(s), method, request, reply,
		timeout_ms, cancel, arena, ret);

	if (s->version < 3 || !wants_v2(e))
		return e;
	log_warn("shim does not speak task API version 3, using version 2", "id", s->id, "error",
		err_message(e));
	err_free(e);
	s->version = 2;
	return ttrpc_call(s->client, s->ns, shim_task_service(s), method, request, reply,
		timeout_ms, cancel, arena, ret);
}

/* --- going --- */

void shim_shut_down(struct shim *s)
{
	Shim3__ShutdownRequest request = SHIM3__SHUTDOWN_REQUEST__INIT;
	autoptr(arena) arena = arena_new();
	autoptr(err) e = NULL;
	void *m = NULL;

	request.id = s->id;
	e = shim_task_rpc(s, "Shutdown", &request, &google__protobuf__empty__descriptor,
		s->host->options.shutdown_timeout_ms, NULL, arena, &m);
	if (e && !err_is_closed(e))
		log_warn("shut down shim, it may be left over", "id", s->id, "namespace", s->ns,
			"error", err_message(e));
}

struct process_exit shim_clean_up(struct shim *s, uint32_t pid)
{
	struct process_exit exit = {.pid = pid, .status = EXIT_UNKNOWN, .at = timestamp_now()};
	struct process_exit answer = {0};
	struct shim_command c;
	autoptr(err) e = NULL;

	if (!s->binary || !s->bundle)
		return exit;
	command(s, &c);
	e = shim_binary_delete(&c, s->host->options.cleanup_timeout_ms, &answer);
	if (e) {
		log_warn("clean up behind shim", "id", s->id, "namespace", s->ns, "error",
			err_message(e));
		return exit;
	}
	if (timestamp_is_zero(answer.at))
		answer.at = exit.at;
	if (!answer.pid)
		answer.pid = exit.pid;
	return answer;
}

void shim_disconnect(struct shim *s)
{
	/* Threads may be inside a call: the client itself goes with shim_done(). */
	if (s->client)
		ttrpc_client_close(s->client);
	shim_log_close(TAKE(s->log));
}

void shim_remove_bundle(struct shim *s)
{
	autoptr(err) e = s->bundle ? bundle_delete(s->host->options.root, s->bundle) : NULL;

	if (e)
		log_error(
			"delete bundle", "id", s->id, "namespace", s->ns, "error", err_message(e));
}

void shim_remove_socket(const struct shim *s)
{
	const char *path = s->address && str_starts(s->address, "unix://") ? s->address + 7 : NULL;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	autofd fd = -1;

	if (!path || strlen(path) >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 && errno == ECONNREFUSED)
		unlink(path);
}

/* --- all of them --- */

/* The names in a directory that are identifiers of directories. */
static void list_dirs(const char *path, struct strv *ret)
{
	DIR *dir = opendir(path);

	if (!dir)
		return;
	for (struct dirent *d; (d = readdir(dir));) {
		autofree char *entry = path_join(path, d->d_name);
		autoptr(err) e = identifier_check(d->d_name);
		struct stat st;

		if (!e && lstat(entry, &st) == 0 && S_ISDIR(st.st_mode))
			strv_add(ret, d->d_name);
	}
	closedir(dir);
}

static void each_of_all(const char *top,
	void (*visit)(void *arg, const char *ns, const char *id, const char *path), void *arg)
{
	autoval(strv) namespaces = STRV_INIT;

	list_dirs(top, &namespaces);
	for (size_t i = 0; i < namespaces.n; i++) {
		autofree char *dir = path_join(top, namespaces.items[i]);
		autoval(strv) ids = STRV_INIT;

		bundle_sweep(dir);
		list_dirs(dir, &ids);
		for (size_t k = 0; k < ids.n; k++) {
			autofree char *path = path_join(dir, ids.items[k]);

			visit(arg, namespaces.items[i], ids.items[k], path);
		}
	}
}

void shim_each_bundle(struct shim_host *h,
	void (*visit)(void *arg, const char *ns, const char *id, const char *path), void *arg)
{
	each_of_all(h->options.state, visit, arg);
}

struct work_sweep {
	bool (*used)(void *arg, const char *ns, const char *id);
	void *arg;
};

static void sweep_work_dir(void *arg, const char *ns, const char *id, const char *path)
{
	const struct work_sweep *w = arg;
	autoptr(err) e = w->used(w->arg, ns, id) ? NULL : remove_tree(path);

	if (e)
		log_warn("remove work directory", "path", path, "error", err_message(e));
}

void shim_sweep_work(
	struct shim_host *h, bool (*used)(void *arg, const char *ns, const char *id), void *arg)
{
	each_of_all(h->options.root, sweep_work_dir, &(struct work_sweep){used, arg});
}
