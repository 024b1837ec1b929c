// SPDX-License-Identifier: Apache-2.0
/*
 * The task manager over the shim of the distribution, or the one named on the command line, and over
 * fake shims that misbehave. Runs as root in tools/sandbox, which removes what a failure leaves
 * behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/digest.h"
#include "base/fs.h"
#include "events/exchange.h"
#include "google/protobuf/empty.pb-c.h"
#include "proto/bootstrap.pb-c.h"
#include "proto/events-ttrpc.pb-c.h"
#include "proto/events.pb-c.h"
#include "rpc/message.h"
#include "rpc/ttrpc.h"
#include "runtime/bootstrap.h"
#include "runtime/shim-binary.h"
#include "runtime/task-manager.h"
#include "sys/mount.h"

#define SHIM "/usr/bin/containerd-shim-runc-v2"
#define BUSYBOX "/bin/busybox"
#define SPEC_TYPE "types.containerd.io/opencontainers/runtime-spec/1/Spec"
#define PATIENCE_MS 30000

static const char *runtime_name = "io.containerd.runc.v2";

struct seen {
	char *topic, *id;
	uint32_t status;
};

struct fixture {
	char *dir, *rootfs, *ns;
	struct loop *loop;
	pthread_t thread;
	struct rpc_server *server; /* what shims forward events to */
	struct exchange *exchange;
	struct subscription *subscription;
	struct task_manager *m;
	struct lock lock;
	struct cond cond;
	struct seen events[256]; /* guarded by lock */
	size_t n_events;
	unsigned waits; /* guarded by lock */
	struct process_exit exit;
	enum err_class wait_class;
};

static char *at(struct fixture *f, const char *name)
{
	return path_join(f->dir, name);
}

/* --- events --- */

static bool on_event(void *arg, const struct event *e)
{
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	autoptr(arena) arena = arena_new();
	struct fixture *f = arg;
	struct seen *s;
	void *m = NULL;

	any.type_url = e->payload.type_url;
	any.value.data = e->payload.value;
	any.value.len = e->payload.len;
	LOCKED(&f->lock);
	s = &f->events[f->n_events++ % ARRAY_LEN(f->events)];
	*s = (struct seen){.topic = xstrdup(e->topic)};
	if (any_is(&any, "containerd.events.TaskExit")) {
		assert_null(message_from_any(&any, &events__task_exit__descriptor, arena, &m));
		s->id = xstrdup(((Events__TaskExit *)m)->id);
		s->status = ((Events__TaskExit *)m)->exit_status;
	}
	cond_broadcast(&f->cond);
	return true;
}

static struct err *do_forward(struct rpc_call *call, void *impl)
{
	const Evttrpc__ForwardRequest *r = rpc_request(call);
	Google__Protobuf__Empty reply = GOOGLE__PROTOBUF__EMPTY__INIT;
	autoval(any) payload = ANY_INIT;
	struct fixture *f = impl;

	any_from_wire(&payload, r->envelope->event);
	TRY(exchange_forward(f->exchange, timestamp_from_wire(r->envelope->timestamp),
		r->envelope->namespace_, r->envelope->topic, &payload));
	return rpc_reply(call, &reply);
}

static const struct rpc_method forward_methods[] = {
	{"Forward", RPC_UNARY, LANE_NORMAL, &evttrpc__forward_request__descriptor,
		&google__protobuf__empty__descriptor, do_forward},
};
static const struct rpc_service forward_service = {
	"containerd.services.events.ttrpc.v1.Events", forward_methods, 1};

static size_t count_events(struct fixture *f, const char *topic, const char *id)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_events; i++)
		n += strcmp(f->events[i].topic, topic) == 0 && (!id || str_eq(f->events[i].id, id));
	return n;
}

static uint32_t exit_status_of(struct fixture *f, const char *id)
{
	LOCKED(&f->lock);
	for (size_t i = 0; i < f->n_events; i++)
		if (str_eq(f->events[i].id, id))
			return f->events[i].status;
	return UINT32_MAX;
}

static void forget_events(struct fixture *f)
{
	LOCKED(&f->lock);
	for (size_t i = 0; i < f->n_events; i++) {
		free(f->events[i].topic);
		free(f->events[i].id);
	}
	f->n_events = 0;
}

static void expect_event(struct fixture *f, const char *topic)
{
	int64_t deadline = monotonic_ms() + PATIENCE_MS;

	LOCKED(&f->lock);
	while (!count_events(f, topic, NULL))
		if (!cond_wait_until(&f->cond, &f->lock, deadline))
			fail_msg("no event %s", topic);
}

/* --- fixture --- */

static void *run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

static void start_manager(struct fixture *f)
{
	autofree char *root = at(f, "root");
	autofree char *state = at(f, "state");
	autofree char *address = at(f, "c.sock");
	autofree char *ttrpc_address = at(f, "c.sock.ttrpc");
	struct task_manager_options o = {
		.shim =
			{
				.root = root,
				.state = state,
				.address = address,
				.ttrpc_address = ttrpc_address,
				.daemon_path = "/bin/true",
				.version = "2.3.0",
				.load_timeout_ms = 2000,
				.cleanup_timeout_ms = 5000,
				.shutdown_timeout_ms = 500,
			},
		.state_timeout_ms = 1000,
	};

	assert_null(task_manager_new(f->loop, f->exchange, &o, &f->m));
}

static int listen_at(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(strlen(path) < sizeof(sa.sun_path));
	memcpy(sa.sun_path, path, strlen(path));
	assert_int_equal(0, bind(fd, (struct sockaddr *)&sa, sizeof(sa)));
	assert_int_equal(0, listen(fd, 16));
	return fd;
}

static void make_rootfs(struct fixture *f)
{
	static const char *const dirs[] = {"bin", "proc", "tmp", "dev", "sys"};
	autofree char *busybox = xasprintf("%s/bin/busybox", f->rootfs);
	autofree char *command = xasprintf("cp %s %s", BUSYBOX, busybox);
	autofree char *sh = xasprintf("%s/bin/sh", f->rootfs);

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		autofree char *dir = path_join(f->rootfs, dirs[i]);

		assert_null(mkdir_p(dir, 0755));
	}
	assert_int_equal(0, system(command));
	assert_int_equal(0, symlink("busybox", sh));
}

static int setup(void **state)
{
	struct fixture *f = NEW(struct fixture);
	char template[] = "/run/ctd-test-XXXXXX";
	autofree char *events = NULL;

	f->dir = xstrdup(mkdtemp(template));
	f->rootfs = at(f, "image");
	f->ns = xstrdup(getenv("CTD_NS"));
	make_rootfs(f);
	lock_init(&f->lock);
	cond_init(&f->cond);
	assert_null(loop_new(&f->loop));
	f->exchange = exchange_new();
	assert_null(exchange_subscribe(f->exchange, NULL, 0, on_event, f, &f->subscription));
	f->server = ttrpc_server_new(f->loop, NULL, NULL);
	rpc_server_add(f->server, &forward_service, f);
	events = at(f, "c.sock.ttrpc");
	assert_null(ttrpc_server_listen(f->server, listen_at(events)));
	assert_int_equal(0, pthread_create(&f->thread, NULL, run_loop, f->loop));
	start_manager(f);
	*state = f;
	return 0;
}

static void stop(void *arg)
{
	loop_stop(arg);
}

static void drain(void *arg)
{
	struct fixture *f = arg;

	ttrpc_server_drain(f->server, 0, stop, f->loop);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	autoptr(err) e = NULL;

	task_manager_free(f->m);
	loop_post(f->loop, drain, f);
	pthread_join(f->thread, NULL);
	ttrpc_server_free(f->server);
	subscription_end(f->subscription);
	exchange_free(f->exchange);
	loop_free(f->loop);
	forget_events(f);
	lock_done(&f->lock);
	cond_done(&f->cond);
	e = remove_tree(f->dir);
	assert_null(e);
	free(f->dir);
	free(f->rootfs);
	free(f->ns);
	free(f);
	return 0;
}

static void assert_ok(struct err *e)
{
	if (e)
		fail_msg("%s", err_message(e));
}

static void assert_err(struct err *take_e, enum err_class class, const char *part)
{
	assert_non_null(take_e);
	if (err_class(take_e) != class || !strstr(err_message(take_e), part))
		fail_msg("%s: %s, expected \"%s\"", err_class_name(err_class(take_e)),
			err_message(take_e), part);
	err_free(take_e);
}

/* --- containers --- */

static char *process_json(const char *script)
{
	return xasprintf("{\"terminal\":false,\"user\":{\"uid\":0,\"gid\":0},"
			 "\"args\":[\"/bin/sh\",\"-c\",\"%s\"],"
			 "\"env\":[\"PATH=/bin\"],\"cwd\":\"/\"}",
		script);
}

static void set_spec(struct fixture *f, struct any *to, const char *id, const char *script)
{
	autofree char *process = process_json(script);
	autofree char *json = xasprintf(
		"{\"ociVersion\":\"1.0.2\",\"process\":%s,\"root\":{\"path\":\"rootfs\"},"
		"\"hostname\":\"t\",\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\","
		"\"source\":\"proc\"},{\"destination\":\"/"
		"dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}],\"linux\":{\"cgroupsPath\":\"/%s/"
		"%s\",\"namespaces\":["
		"{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"ipc\"},{\"type\":\"uts\"}]}}",
		process, f->ns, id);

	any_set(to, SPEC_TYPE, json, strlen(json));
}

static struct err *create_with(struct fixture *f, const char *runtime, const char *id,
	const char *script, struct cancel *cancel)
{
	autoval(any) spec = ANY_INIT;
	autoval(mounts) rootfs = MOUNTS_INIT;
	struct task_create r = {
		.ns = f->ns, .id = id, .runtime = runtime, .spec = &spec, .rootfs = &rootfs};
	struct mount *m = mounts_add(&rootfs, "bind", f->rootfs, "");
	uint32_t pid = 0;

	strv_add(&m->options, "rbind");
	strv_add(&m->options, "rw");
	set_spec(f, &spec, id, script);
	TRY(task_create(f->m, &r, cancel, &pid));
	assert_true(pid > 0);
	return NULL;
}

static struct err *create(struct fixture *f, const char *id, const char *script)
{
	return create_with(f, runtime_name, id, script, NULL);
}

static void start(struct fixture *f, const char *id)
{
	uint32_t pid = 0;

	assert_ok(task_start(f->m, f->ns, id, NULL, NULL, &pid));
	assert_true(pid > 0);
}

static void on_exit_of(void *arg, struct err *take_e, const struct process_exit *exit)
{
	struct fixture *f = arg;

	LOCKED(&f->lock);
	f->waits++;
	f->wait_class = err_class(take_e);
	if (exit)
		f->exit = *exit;
	err_free(take_e);
	cond_broadcast(&f->cond);
}

static void await_waits(struct fixture *f, unsigned n)
{
	int64_t deadline = monotonic_ms() + PATIENCE_MS;

	LOCKED(&f->lock);
	while (f->waits < n)
		assert_true(cond_wait_until(&f->cond, &f->lock, deadline));
}

static bool nothing_left(struct fixture *f, const char *id)
{
	autofree char *bundle = xasprintf("%s/state/%s/%s", f->dir, f->ns, id);
	autofree char *hidden = xasprintf("%s/state/%s/.%s", f->dir, f->ns, id);
	autofree char *work = xasprintf("%s/root/%s/%s", f->dir, f->ns, id);

	return access(bundle, F_OK) < 0 && access(hidden, F_OK) < 0 && access(work, F_OK) < 0;
}

static void the_whole_life_of_a_container(void **state)
{
	struct fixture *f = *state;
	struct task_io io = {0};
	autofree char *json = process_json("exit 3");
	autoval(any) process = ANY_INIT;
	autoval(any) stats = ANY_INIT;
	autoval(task_pids) pids = {0};
	struct process_exit exit = {0};
	autoval(process_info) info = {0};
	autoval(process_list) list = {0};
	uint32_t pid;

	any_set(&process, "types.containerd.io/opencontainers/runtime-spec/1/Process", json,
		strlen(json));
	assert_ok(create(f, "web", "exec busybox sleep 1000"));
	assert_err(create(f, "web", "true"), ERR_EXISTS, "task web: already exists");
	assert_ok(task_get(f->m, f->ns, "web", NULL, NULL, &info));
	assert_int_equal(TASK_CREATED, info.status);
	task_wait_start(f->m, f->ns, "web", NULL, on_exit_of, f);
	start(f, "web");
	assert_err(task_delete(f->m, f->ns, "web", NULL, &exit), ERR_UNKNOWN, "running");

	assert_ok(task_exec(f->m, f->ns, "web", "e1", &process, &io, NULL));
	assert_err(task_exec(f->m, f->ns, "web", "e1", &process, &io, NULL), ERR_EXISTS, "e1");
	assert_ok(task_start(f->m, f->ns, "web", "e1", NULL, &pid));
	task_wait_start(f->m, f->ns, "web", "e1", on_exit_of, f);
	await_waits(f, 1);
	assert_int_equal(3, f->exit.status);
	assert_ok(task_delete_process(f->m, f->ns, "web", "e1", NULL, &exit));
	assert_int_equal(3, exit.status);
	assert_err(task_kill(f->m, f->ns, "web", "nope", 9, false, NULL), ERR_NOT_FOUND, "nope");

	assert_ok(task_stats(f->m, f->ns, "web", NULL, &stats));
	assert_non_null(strstr(stats.type_url, "Metrics"));
	assert_ok(task_pids(f->m, f->ns, "web", NULL, &pids));
	assert_int_equal(1, pids.n);
	assert_ok(task_pause(f->m, f->ns, "web", NULL));
	assert_ok(task_resume(f->m, f->ns, "web", NULL));
	assert_ok(task_list(f->m, f->ns, NULL, &list));
	assert_int_equal(1, list.n);
	assert_int_equal(TASK_RUNNING, list.items[0].status);
	assert_string_equal("web", list.items[0].container_id);

	assert_ok(task_kill(f->m, f->ns, "web", NULL, SIGKILL, false, NULL));
	await_waits(f, 2);
	assert_int_equal(137, f->exit.status);
	assert_ok(task_delete(f->m, f->ns, "web", NULL, &exit));
	assert_int_equal(137, exit.status);
	assert_true(nothing_left(f, "web"));
	assert_err(task_kill(f->m, f->ns, "web", NULL, 9, false, NULL), ERR_NOT_FOUND,
		"task web not found");
	expect_event(f, "/tasks/delete");
	assert_int_equal(1, count_events(f, "/tasks/exit", "web"));
	assert_int_equal(1, count_events(f, "/tasks/exit", "e1"));
	assert_int_equal(1, count_events(f, "/tasks/create", NULL));
}

static void restart_manager(struct fixture *f)
{
	task_manager_free(f->m);
	start_manager(f);
	assert_ok(task_manager_load(f->m));
}

static void shims_are_found_again(void **state)
{
	struct fixture *f = *state;
	struct process_exit exit = {0};
	autoval(process_info) info = {0};
	autoval(process_info) stopped = {0};
	autofree char *half = xasprintf("%s/state/%s/half", f->dir, f->ns);
	autofree char *hidden = xasprintf("%s/state/%s/.old", f->dir, f->ns);
	autofree char *stray = xasprintf("%s/root/%s/stray", f->dir, f->ns);
	autofree char *half_rootfs = path_join(half, "rootfs");
	autofree char *boot = xasprintf("%s/state/%s/runs/bootstrap.json", f->dir, f->ns);
	autofree char *address = xasprintf("%s/state/%s/runs/address", f->dir, f->ns);

	assert_ok(create(f, "runs", "exec busybox sleep 1000"));
	start(f, "runs");
	assert_ok(create(f, "over", "exit 5"));
	task_wait_start(f->m, f->ns, "over", NULL, on_exit_of, f);
	start(f, "over");
	await_waits(f, 1);
	assert_ok(mkdir_p(half_rootfs, 0700));
	/* As if we had died before we could write down where the shim is. */
	assert_int_equal(0, unlink(boot));
	assert_true(unlink(address) == 0 || errno == ENOENT);
	assert_int_equal(0, mount(f->rootfs, half_rootfs, NULL, MS_BIND, NULL));
	assert_ok(mkdir_p(hidden, 0700));
	assert_ok(mkdir_p(stray, 0700));

	restart_manager(f);
	assert_ok(task_get(f->m, f->ns, "runs", NULL, NULL, &info));
	assert_int_equal(TASK_RUNNING, info.status);
	assert_ok(task_get(f->m, f->ns, "over", NULL, NULL, &stopped));
	assert_int_equal(TASK_STOPPED, stopped.status);
	assert_int_equal(5, stopped.exit_status);
	assert_true(nothing_left(f, "half"));
	assert_true(access(hidden, F_OK) < 0 && access(stray, F_OK) < 0);
	assert_int_equal(1, count_events(f, "/tasks/exit", NULL));

	assert_ok(task_delete(f->m, f->ns, "over", NULL, &exit));
	assert_int_equal(5, exit.status);
	task_wait_start(f->m, f->ns, "runs", NULL, on_exit_of, f);
	assert_ok(task_kill(f->m, f->ns, "runs", NULL, SIGKILL, false, NULL));
	await_waits(f, 2);
	assert_ok(task_delete(f->m, f->ns, "runs", NULL, &exit));
	assert_true(nothing_left(f, "runs") && nothing_left(f, "over"));
}

/* The pid of the shim that has the container's init as its child. */
static pid_t shim_of(struct fixture *f, const char *id)
{
	autofree char *pid_path = xasprintf("%s/state/%s/%s/init.pid", f->dir, f->ns, id);
	autofree char *pid = NULL;
	autofree char *stat_path = NULL;
	autofree char *text = NULL;
	const char *p;

	assert_ok(file_read(pid_path, 100, &pid, NULL));
	stat_path = xasprintf("/proc/%s/stat", pid);
	assert_ok(file_read(stat_path, 4096, &text, NULL));
	p = strrchr(text, ')');
	return (pid_t)strtol(p + 4, NULL, 10);
}

static void a_shim_killed_is_cleaned_up_behind(void **state)
{
	struct fixture *f = *state;
	struct process_exit exit;

	assert_ok(create(f, "web", "exec busybox sleep 1000"));
	start(f, "web");
	task_wait_start(f->m, f->ns, "web", NULL, on_exit_of, f);
	forget_events(f);
	kill(shim_of(f, "web"), SIGKILL);
	await_waits(f, 1);
	assert_int_equal(ERR_OK, f->wait_class);
	assert_int_equal(137, f->exit.status);
	expect_event(f, "/tasks/exit");
	expect_event(f, "/tasks/delete");
	assert_int_equal(1, count_events(f, "/tasks/exit", "web"));
	assert_int_equal(137, exit_status_of(f, "web"));
	assert_true(nothing_left(f, "web"));
	assert_err(
		task_delete(f->m, f->ns, "web", NULL, &exit), ERR_NOT_FOUND, "task web not found");
	/* The name is free at once. */
	assert_ok(create(f, "web", "exit 0"));
	assert_ok(task_kill(f->m, f->ns, "web", NULL, SIGKILL, false, NULL));
	task_wait_start(f->m, f->ns, "web", NULL, on_exit_of, f);
	await_waits(f, 2);
	assert_ok(task_delete(f->m, f->ns, "web", NULL, &exit));
}

static void a_shim_killed_while_we_were_away(void **state)
{
	struct fixture *f = *state;
	autoval(process_info) info = {0};

	assert_ok(create(f, "web", "exec busybox sleep 1000"));
	start(f, "web");
	task_manager_free(f->m);
	forget_events(f);
	kill(shim_of(f, "web"), SIGKILL);
	start_manager(f);
	assert_ok(task_manager_load(f->m));
	expect_event(f, "/tasks/delete");
	assert_int_equal(1, count_events(f, "/tasks/exit", "web"));
	assert_true(nothing_left(f, "web"));
	assert_err(task_get(f->m, f->ns, "web", NULL, NULL, &info), ERR_NOT_FOUND,
		"task web not found");
}

static void errors_of_the_runtime_arrive_whole(void **state)
{
	struct fixture *f = *state;
	autoval(any) spec = ANY_INIT;
	autoval(mounts) rootfs = MOUNTS_INIT;
	struct task_create r = {.ns = f->ns,
		.id = "web",
		.runtime = "io.containerd.runc.v2",
		.spec = &spec,
		.rootfs = &rootfs};
	uint32_t pid;

	any_set(&spec, SPEC_TYPE, "{\"ociVersion\":\"1.0.2\"}", 23);
	mounts_add(&rootfs, "bind", "/nonexistent", "");
	assert_err(task_create(f->m, &r, NULL, &pid), ERR_UNKNOWN, "failed to create shim task: ");
	assert_true(nothing_left(f, "web"));
	r.runtime = "io.containerd.nope.v9";
	assert_err(task_create(f->m, &r, NULL, &pid), ERR_UNKNOWN,
		"failed to start shim: failed to resolve runtime path: runtime "
		"\"io.containerd.nope.v9\" binary not installed \"containerd-shim-nope-v9\"");
	r.runtime = "a/b";
	assert_err(task_create(f->m, &r, NULL, &pid), ERR_INVALID, "invalid runtime name a/b");
	r.runtime = "/nonexistent/shim";
	assert_err(task_create(f->m, &r, NULL, &pid), ERR_UNKNOWN, "/nonexistent/shim");
	r.id = "../x";
	assert_err(task_create(f->m, &r, NULL, &pid), ERR_INVALID, "invalid task id ../x");
	assert_true(nothing_left(f, "web"));
}

/* --- fake shims --- */

static char *fake_shim(struct fixture *f, const char *script)
{
	autofree char *path = at(f, "fake-shim");
	autofree char *text = xasprintf("#!/bin/sh\nfor a; do :; done\n%s\n", script);

	unlink(path);
	assert_ok(file_write_atomic(path, text, strlen(text), 0755, false));
	assert_int_equal(0, chmod(path, 0755));
	return TAKE(path);
}

static void shims_that_do_not_start(void **state)
{
	static const struct {
		const char *script;
		enum err_class class;
		const char *message;
	} cases[] = {
		{"echo boom >&2; exit 4", ERR_UNKNOWN, "start failed: boom: exit status 4"},
		{"exit 127", ERR_UNKNOWN, "exit status 127"},
		{"kill -9 $$", ERR_UNKNOWN, "signal: Killed"},
		{"exit 0", ERR_UNKNOWN, "printed no address"},
		{"echo '  '", ERR_UNKNOWN, "printed no address"},
		{"head -c 3000 /dev/urandom", ERR_UNKNOWN, "start failed"},
		{"head -c 3000000 /dev/zero", ERR_UNKNOWN, "start failed"},
		{"echo what is this", ERR_UNKNOWN, "printed no address but \"what is this\""},
		{"echo unix:///nonexistent/x", ERR_UNAVAILABLE, "unix:///nonexistent/x"},
		{"echo '{\"version\":3,\"address\":\"unix:///x\",\"protocol\":\"grpc\"}'",
			ERR_UNIMPLEMENTED, "protocol \"grpc\" is not supported"},
		{"echo '{\"version\":4,\"address\":\"unix:///x\",\"protocol\":\"ttrpc\"}'",
			ERR_UNIMPLEMENTED, "unsupported shim version (4)"},
		{"echo '{\"version\":3,\"address\":\"vsock://3:1\",\"protocol\":\"ttrpc\"}'",
			ERR_UNIMPLEMENTED, "vsock://3:1"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autofree char *path = fake_shim(f, cases[i].script);

		assert_err(create_with(f, path, "web", "true", NULL), cases[i].class,
			cases[i].message);
		assert_true(nothing_left(f, "web"));
	}
	assert_int_equal(0, f->n_events);
}

static void *fire(void *arg)
{
	cancel_fire(arg, ERR_CANCELLED);
	return NULL;
}

static void a_shim_that_hangs_at_start(void **state)
{
	struct fixture *f = *state;
	autofree char *path = fake_shim(f, "[ \"$a\" = start ] && exec sleep 1000; exit 1");
	autoptr(cancel) cancel = cancel_new();
	pthread_t thread;

	pthread_create(&thread, NULL, fire, cancel);
	assert_err(create_with(f, path, "web", "true", cancel), ERR_CANCELLED, "start failed");
	pthread_join(thread, NULL);
	assert_true(nothing_left(f, "web"));
}

static void await_removal(const char *dir, const char *path)
{
	int64_t deadline = monotonic_ms() + PATIENCE_MS;
	autofd fd = inotify_init1(IN_CLOEXEC);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_true(inotify_add_watch(fd, dir, IN_DELETE) >= 0);
	while (access(path, F_OK) == 0) {
		char events[4096];

		assert_int_equal(1, poll(&p, 1, (int)MAX(deadline - monotonic_ms(), (int64_t)0)));
		assert_true(read(fd, events, sizeof(events)) > 0);
	}
}

/* The program started a shim, and then we gave up on the program. */
static void a_start_that_ends_badly_leaves_no_shim(void **state)
{
	struct fixture *f = *state;
	autofree char *script = xasprintf("[ \"$a\" = start ] || exec " SHIM " \"$@\"\n" SHIM
					  " \"$@\" < /dev/null > /dev/null\nexit 1");
	autofree char *path = fake_shim(f, script);
	autofree char *c_sock = at(f, "c.sock");
	autofree char *text = xasprintf("%s/%s/web", c_sock, f->ns);
	autofree char *socket_path = NULL;
	char hex[65];

	assert_err(create_with(f, path, "web", "true", NULL), ERR_UNKNOWN, "exit status 1");
	assert_true(nothing_left(f, "web"));
	sha256_hex(text, strlen(text), hex);
	socket_path = xasprintf("/run/containerd/s/%s", hex);
	/* A stock shim removes its socket as it leaves. */
	await_removal("/run/containerd/s", socket_path);
}

/* Accepts and never answers; as a listener without anybody who accepts does. */
static void a_shim_that_hangs_later(void **state)
{
	struct fixture *f = *state;
	autofree char *socket_path = at(f, "hung.sock");
	autofd listener = listen_at(socket_path);
	autofree char *script =
		xasprintf("[ \"$a\" = start ] && echo unix://%s && exit; exit 1", socket_path);
	autofree char *path = fake_shim(f, script);
	autofree char *bundle = xasprintf("%s/state/%s/hung", f->dir, f->ns);
	autofree char *boot = xasprintf(
		"{\"version\":2,\"address\":\"unix://%s\",\"protocol\":\"ttrpc\"}", socket_path);
	autofree char *boot_path = path_join(bundle, "bootstrap.json");
	autofree char *binary_path = path_join(bundle, "shim-binary-path");
	autoptr(cancel) cancel = cancel_new();
	autoval(process_list) list = {0};
	pthread_t thread;
	int64_t before;

	(void)listener;
	/* At load: it costs its deadline, and is listed without a state. */
	assert_ok(create(f, "good", "exec busybox sleep 1000"));
	assert_ok(mkdir_p(bundle, 0700));
	assert_ok(file_write_atomic(boot_path, boot, strlen(boot), 0600, false));
	assert_ok(file_write_atomic(binary_path, path, strlen(path), 0600, false));
	before = monotonic_ms();
	restart_manager(f);
	assert_true(monotonic_ms() - before < 10000);
	assert_ok(task_list(f->m, f->ns, NULL, &list));
	assert_int_equal(2, list.n);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(strcmp(list.items[i].container_id, "hung") == 0 ? TASK_UNKNOWN
										 : TASK_CREATED,
			list.items[i].status);
	assert_ok(task_kill(f->m, f->ns, "good", NULL, SIGKILL, false, NULL));
	task_wait_start(f->m, f->ns, "good", NULL, on_exit_of, f);
	await_waits(f, 1);
	struct process_exit exit;

	assert_ok(task_delete(f->m, f->ns, "good", NULL, &exit));

	/* At Create: the caller gives up, and nothing stays. */
	pthread_create(&thread, NULL, fire, cancel);
	struct err *e = create_with(f, path, "web", "true", cancel);

	assert_true(err_is(e, ERR_CANCELLED));
	err_free(e);
	pthread_join(thread, NULL);
	assert_true(nothing_left(f, "web"));
}

struct forgetting {
	struct fixture *f;
	struct task_wait *w;
};

static void forget(void *arg)
{
	struct forgetting *g = arg;

	task_wait_forget(g->w);
}

static void a_shim_of_the_newest_generation_gets_parameters(void **state)
{
	static const char *const versions[] = {
		"[ \"$a\" = -v ] && echo '  Version:  2.3.1' && exit",
		"[ \"$a\" = -v ] && exit 1\n"
		"[ \"$a\" = start ] && [ ! -s /dev/stdin ] && echo 'the deprecated API' >&2 && "
		"exit 1",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		autofree char *stdin_path = at(f, "stdin");
		/* Announces version 3, which the program behind it does not have. */
		autofree char *script = xasprintf(
			"%s\n[ \"$a\" = start ] || exec " SHIM " \"$@\"\n"
			"cat > %s\naddress=$(" SHIM " \"$@\" < /dev/null) || exit 1\n"
			"echo '{\"version\":3,\"address\":\"'$address'\",\"protocol\":\"ttrpc\"}'",
			versions[i], stdin_path);
		autofree char *path = fake_shim(f, script);
		autoptr(arena) arena = arena_new();
		autofree char *data = NULL;
		struct process_exit exit;
		void *m = NULL;
		size_t len;

		assert_ok(create_with(f, path, "web", "exit 0", NULL));
		assert_ok(file_read(stdin_path, 65536, &data, &len));
		assert_null(message_unpack(
			&bootstrap__bootstrap_params__descriptor, data, len, arena, &m));
		assert_string_equal("web", ((Bootstrap__BootstrapParams *)m)->instance_id);
		assert_string_equal(f->ns, ((Bootstrap__BootstrapParams *)m)->namespace_);
		assert_ok(task_kill(f->m, f->ns, "web", NULL, SIGKILL, false, NULL));
		task_wait_start(f->m, f->ns, "web", NULL, on_exit_of, f);
		await_waits(f, (unsigned)i + 1);
		assert_ok(task_delete(f->m, f->ns, "web", NULL, &exit));
		assert_true(nothing_left(f, "web"));
	}
}

static void a_wait_can_be_forgotten(void **state)
{
	struct fixture *f = *state;
	struct forgetting g = {.f = f};
	struct process_exit exit;

	task_wait_start(f->m, f->ns, "none", NULL, on_exit_of, f);
	assert_int_equal(1, f->waits);
	assert_int_equal(ERR_NOT_FOUND, f->wait_class);
	assert_ok(create(f, "web", "exec busybox sleep 1000"));
	start(f, "web");
	g.w = task_wait_start(f->m, f->ns, "web", NULL, on_exit_of, f);
	task_wait_start(f->m, f->ns, "web", NULL, on_exit_of, f);
	loop_post(f->loop, forget, &g);
	await_waits(f, 2);
	assert_int_equal(ERR_CANCELLED, f->wait_class);
	assert_ok(task_kill(f->m, f->ns, "web", NULL, SIGKILL, false, NULL));
	await_waits(f, 3);
	assert_int_equal(ERR_OK, f->wait_class);
	assert_ok(task_delete(f->m, f->ns, "web", NULL, &exit));
}

static void many_at_once(void **state)
{
	struct fixture *f = *state;
	struct process_exit exit;

	for (int i = 0; i < 5; i++) {
		autofree char *id = xasprintf("t%d", i);

		assert_ok(create(f, id, "exit 1"));
		task_wait_start(f->m, f->ns, id, NULL, on_exit_of, f);
		start(f, id);
	}
	restart_manager(f);
	for (int i = 0; i < 5; i++) {
		autofree char *id = xasprintf("t%d", i);
		unsigned before = f->waits;

		task_wait_start(f->m, f->ns, id, NULL, on_exit_of, f);
		await_waits(f, before + 1);
		assert_ok(task_delete(f->m, f->ns, id, NULL, &exit));
		assert_int_equal(1, exit.status);
		assert_true(nothing_left(f, id));
	}
}

#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(the_whole_life_of_a_container),
		T(shims_are_found_again),
		T(a_shim_killed_is_cleaned_up_behind),
		T(a_shim_killed_while_we_were_away),
		T(errors_of_the_runtime_arrive_whole),
		T(shims_that_do_not_start),
		T(a_shim_that_hangs_at_start),
		T(a_start_that_ends_badly_leaves_no_shim),
		T(a_shim_that_hangs_later),
		T(a_shim_of_the_newest_generation_gets_parameters),
		T(a_wait_can_be_forgotten),
		T(many_at_once),
	};

	if (argc > 1)
		runtime_name = realpath(argv[1], NULL);
	if (!getenv("CTD_NS") || geteuid() != 0 || access(SHIM, X_OK) < 0 ||
		access(BUSYBOX, X_OK) < 0)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
