// SPDX-License-Identifier: Apache-2.0
/* The real program, driven over its socket, with a runtime that makes no containers and a daemon
 * that only collects events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/strv.h"
#include "google/protobuf/empty.pb-c.h"
#include "proto/events-ttrpc.pb-c.h"
#include "proto/events.pb-c.h"
#include "proto/runc-options.pb-c.h"
#include "proto/shim-sandbox.pb-c.h"
#include "proto/shim-v3.pb-c.h"
#include "proto/types.pb-c.h"
#include "rpc/message.h"
#include "rpc/ttrpc.h"
#include "shim/exec.h"
#include "shim/socket.h"

static const char *program, *fake_runc;

struct fixture {
	struct loop *loop;
	struct loop_timer *guard;
	struct rpc_server *daemon;
	struct ttrpc_client *client;
	struct arena *arena;
	char dir[32];
	char *runc; /* named so that it counts as runc */
	pid_t shim;
	struct strv events; /* "topic id status" */
	/* of the call under way */
	bool answered;
	void *reply;
	enum err_class class;
	char *message;
};

/* --- the daemon --- */

static struct err *handle_forward(struct rpc_call *call, void *impl)
{
	const Evttrpc__ForwardRequest *r = rpc_request(call);
	Google__Protobuf__Empty reply = GOOGLE__PROTOBUF__EMPTY__INIT;
	struct fixture *f = impl;
	Events__TaskExit *e = NULL;

	assert_string_equal(r->envelope->namespace_, "ns");
	if (any_is(r->envelope->event, "containerd.events.TaskExit")) {
		TRY(message_from_any(r->envelope->event, &events__task_exit__descriptor,
			rpc_arena(call), (void **)&e));
		strv_addf(&f->events, "%s %s %u", r->envelope->topic, e->id, e->exit_status);
	} else {
		strv_add(&f->events, r->envelope->topic);
	}
	loop_stop(f->loop);
	return rpc_reply(call, &reply);
}

static const struct rpc_method event_methods[] = {
	{"Forward", RPC_UNARY, LANE_NORMAL, &evttrpc__forward_request__descriptor,
		&google__protobuf__empty__descriptor, handle_forward},
};
static const struct rpc_service event_service = {
	"containerd.services.events.ttrpc.v1.Events", event_methods, 1};

static void start_daemon(struct fixture *f)
{
	autofree char *path = path_join(f->dir, "d");
	int fd;

	assert_null(socket_listen(path, &fd));
	f->daemon = ttrpc_server_new(f->loop, NULL, &(struct ttrpc_server_options){0});
	rpc_server_add(f->daemon, &event_service, f);
	assert_null(ttrpc_server_listen(f->daemon, fd));
}

/* --- the shim --- */

static void on_late(void *arg)
{
	(void)arg;
	fail_msg("the shim does not answer");
}

static void start_shim(struct fixture *f)
{
	autofree char *socket = path_join(f->dir, "s"), *cwd = getcwd(NULL, 0);
	const char *const argv[] = {
		program, "-namespace", "ns", "-id", "x", "-socket", socket, NULL};
	struct exec_options options = {.argv = (char *const *)(uintptr_t)argv};
	struct err *e = err_new(ERR_UNAVAILABLE, "not tried");

	assert_int_equal(chdir(f->dir), 0);
	assert_null(exec_start(&options, &f->shim));
	assert_int_equal(chdir(cwd), 0);
	while (e && kill(f->shim, 0) == 0) {
		err_free(e);
		e = ttrpc_client_new(f->loop, socket, NULL, NULL, &f->client);
	}
	assert_null(e);
}

static int setup(void **state)
{
	struct fixture *f = NEW(struct fixture);
	autofree char *ttrpc = NULL;

	memcpy(f->dir, "/tmp/shim-service-XXXXXX", sizeof("/tmp/shim-service-XXXXXX"));
	assert_non_null(mkdtemp(f->dir));
	signal(SIGPIPE, SIG_IGN);
	f->arena = arena_new();
	assert_null(loop_new(&f->loop));
	f->guard = loop_timer_new(f->loop, on_late, f);
	loop_timer_set(f->guard, 30000);
	f->runc = path_join(f->dir, "runc");
	assert_int_equal(symlink(fake_runc, f->runc), 0);
	ttrpc = path_join(f->dir, "d");
	setenv("TTRPC_ADDRESS", ttrpc, 1);
	start_daemon(f);
	start_shim(f);
	*state = f;
	return 0;
}

/* A killed shim leaves its container running. */
static void kill_container(struct fixture *f)
{
	autofree char *path = xasprintf("%s/b/init", f->dir), *text = NULL;
	autoptr(err) e = file_read(path, 64, &text, &(size_t){0});

	if (!e)
		kill((pid_t)strtol(text, NULL, 10), SIGKILL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kill_container(f);
	if (f->shim > 0) {
		kill(f->shim, SIGKILL);
		waitpid(f->shim, NULL, 0);
	}
	ttrpc_client_free(f->client);
	ttrpc_server_free(f->daemon);
	loop_timer_free(f->guard);
	loop_free(f->loop);
	arena_free(f->arena);
	strv_done(&f->events);
	free(f->message);
	free(f->runc);
	assert_null(remove_tree(f->dir));
	free(f);
	return 0;
}

static void on_reply(void *arg, const struct err *e, const void *reply)
{
	struct fixture *f = arg;
	size_t len;

	f->answered = true;
	f->class = err_class(e);
	free(f->message);
	f->message = xstrdup(err_message(e));
	f->reply = NULL;
	if (reply) {
		void *packed = message_pack(reply, f->arena, &len);

		assert_null(message_unpack(((const ProtobufCMessage *)reply)->descriptor, packed,
			len, f->arena, &f->reply));
	}
	loop_stop(f->loop);
}

static void begin_of(struct fixture *f, const char *service, const char *method,
	const void *request, const ProtobufCMessageDescriptor *reply)
{
	f->answered = false;
	ttrpc_call_async(f->client, "ns", service, method, request,
		reply ? reply : &google__protobuf__empty__descriptor, 0, on_reply, f);
}

static void begin(struct fixture *f, const char *method, const void *request,
	const ProtobufCMessageDescriptor *reply)
{
	begin_of(f, "containerd.task.v3.Task", method, request, reply);
}

static void *finish(struct fixture *f)
{
	while (!f->answered)
		loop_run(f->loop);
	return f->reply;
}

static void *call(struct fixture *f, const char *method, const void *request,
	const ProtobufCMessageDescriptor *reply)
{
	begin(f, method, request, reply);
	return finish(f);
}

static void *sandbox_call(struct fixture *f, const char *method, const void *request,
	const ProtobufCMessageDescriptor *reply)
{
	begin_of(f, "containerd.runtime.sandbox.v1.Sandbox", method, request, reply);
	return finish(f);
}

static void assert_failed(const struct fixture *f, enum err_class class, const char *message)
{
	assert_int_equal(f->class, class);
	assert_string_equal(f->message, message);
}

/* --- a container --- */

static char *bundle_file(struct fixture *f, const char *name, const char *text)
{
	char *path = arena_printf(f->arena, "%s/b/%s", f->dir, name);

	if (text)
		assert_null(file_write_atomic(path, text, strlen(text), 0700, false));
	return path;
}

static void make_bundle(struct fixture *f, const char *main_script)
{
	autofree char *dir = path_join(f->dir, "b");

	assert_null(mkdir_p(dir, 0700));
	bundle_file(f, "main.sh", main_script);
	bundle_file(f, "exec.sh", "exit 5\n");
}

static void begin_create(struct fixture *f, const char *out)
{
	Shim3__CreateTaskRequest r = SHIM3__CREATE_TASK_REQUEST__INIT;
	Runc__Options o = RUNC__OPTIONS__INIT;

	o.binary_name = f->runc;
	r.id = arena_strdup(f->arena, "web");
	r.bundle = arena_printf(f->arena, "%s/b", f->dir);
	r.stdout = arena_strdup(f->arena, out);
	r.options = message_to_any(&o, f->arena);
	begin(f, "Create", &r, &shim3__create_task_response__descriptor);
}

static void *create(struct fixture *f, const char *out)
{
	begin_create(f, out);
	return finish(f);
}

#define REQUEST(name, type, init)                                                                  \
	type name = init;                                                                          \
	name.id = arena_strdup(f->arena, "web")

static void *start_process(struct fixture *f, const char *exec_id)
{
	REQUEST(r, Shim3__StartRequest, SHIM3__START_REQUEST__INIT);

	r.exec_id = arena_strdup(f->arena, exec_id);
	return call(f, "Start", &r, &shim3__start_response__descriptor);
}

static Shim3__WaitResponse *wait_process(struct fixture *f, const char *exec_id)
{
	REQUEST(r, Shim3__WaitRequest, SHIM3__WAIT_REQUEST__INIT);

	r.exec_id = arena_strdup(f->arena, exec_id);
	return call(f, "Wait", &r, &shim3__wait_response__descriptor);
}

static Shim3__DeleteResponse *delete_process(struct fixture *f, const char *exec_id)
{
	REQUEST(r, Shim3__DeleteRequest, SHIM3__DELETE_REQUEST__INIT);

	r.exec_id = arena_strdup(f->arena, exec_id);
	return call(f, "Delete", &r, &shim3__delete_response__descriptor);
}

static void kill_process(struct fixture *f, const char *exec_id, uint32_t signum)
{
	REQUEST(r, Shim3__KillRequest, SHIM3__KILL_REQUEST__INIT);

	r.exec_id = arena_strdup(f->arena, exec_id);
	r.signal = signum;
	call(f, "Kill", &r, NULL);
}

static void add_exec(struct fixture *f, const char *exec_id, const char *spec)
{
	REQUEST(r, Shim3__ExecProcessRequest, SHIM3__EXEC_PROCESS_REQUEST__INIT);
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;

	r.exec_id = arena_strdup(f->arena, exec_id);
	any.value.data = (uint8_t *)arena_strdup(f->arena, spec);
	any.value.len = strlen(spec);
	r.spec = &any;
	call(f, "Exec", &r, NULL);
}

static Tasktypes__Status status(struct fixture *f)
{
	REQUEST(r, Shim3__StateRequest, SHIM3__STATE_REQUEST__INIT);
	Shim3__StateResponse *s = call(f, "State", &r, &shim3__state_response__descriptor);

	return s ? s->status : TASKTYPES__STATUS__UNKNOWN;
}

static void assert_events(struct fixture *f, const char *expected)
{
	autofree char *got = NULL;

	do {
		free(got);
		got = strv_join(&f->events, ", ");
		if (strlen(got) < strlen(expected))
			loop_run(f->loop);
	} while (strlen(got) < strlen(expected));
	assert_string_equal(got, expected);
}

/* --- the tests --- */

static void test_life(void **state)
{
	struct fixture *f = *state;
	char *fifo, text[32] = {0};
	Shim3__CreateTaskResponse *created;
	int reader;

	make_bundle(f, "echo hello\nexit 7\n");
	fifo = bundle_file(f, "out", NULL);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	created = create(f, fifo);
	assert_string_equal(f->message, "");
	assert_true(created->pid > 0);
	assert_int_equal(status(f), TASKTYPES__STATUS__CREATED);
	assert_non_null(start_process(f, ""));
	assert_int_equal(wait_process(f, "")->exit_status, 7);
	assert_int_equal(status(f), TASKTYPES__STATUS__STOPPED);
	assert_non_null(wait_process(f, "")->exited_at);
	start_process(f, "");
	assert_failed(f, ERR_UNKNOWN, "cannot start a stopped process");
	kill_process(f, "", SIGTERM);
	assert_failed(f, ERR_NOT_FOUND, "process already finished: not found");
	assert_int_equal(delete_process(f, "")->exit_status, 7);
	assert_int_equal(read(reader, text, sizeof(text)), 6);
	assert_string_equal(text, "hello\n");
	assert_int_equal(read(reader, text, sizeof(text)), 0);
	close(reader);
	delete_process(f, "");
	assert_failed(f, ERR_NOT_FOUND, "container not created: not found");
	assert_events(f, "/tasks/create, /tasks/start, /tasks/exit web 7, /tasks/delete");
}

/* It ends while the runtime's start is still under way: nothing is lost, nothing is told early. */
static void test_exit_within_start(void **state)
{
	struct fixture *f = *state;

	make_bundle(f, "exit 3\n");
	bundle_file(f, "slow-start", "");
	assert_non_null(create(f, ""));
	assert_non_null(start_process(f, ""));
	assert_int_equal(wait_process(f, "")->exit_status, 3);
	assert_events(f, "/tasks/create, /tasks/start, /tasks/exit web 3");
}

/* Without a pid namespace of its own others outlive the init process: its exit is told after theirs. */
static void test_exit_after_rest(void **state)
{
	struct fixture *f = *state;

	make_bundle(f, "exit 3\n");
	bundle_file(f, "slow-rest", "");
	assert_non_null(create(f, ""));
	assert_non_null(start_process(f, ""));
	assert_int_equal(wait_process(f, "")->exit_status, 3);
	assert_int_equal(access(bundle_file(f, "rest-killed", NULL), F_OK), 0);
}

static void test_failed_create(void **state)
{
	struct fixture *f = *state;

	make_bundle(f, "exit 0\n");
	bundle_file(f, "fail-create", "");
	assert_null(create(f, ""));
	assert_failed(f, ERR_UNKNOWN, "OCI runtime create failed: cannot create this");
	assert_int_equal(status(f), TASKTYPES__STATUS__UNKNOWN);
	assert_failed(f, ERR_NOT_FOUND, "container not created: not found");
	unlink(bundle_file(f, "fail-create", NULL));
	assert_null(create(f, bundle_file(f, "main.sh", NULL)));
	assert_int_equal(f->class, ERR_INVALID);
	assert_non_null(strstr(f->message, "/b/main.sh is not a FIFO"));
	/* What it made and we cannot use is unmade. */
	bundle_file(f, "no-pid", "");
	assert_null(create(f, ""));
	assert_non_null(strstr(f->message, "failed to retrieve OCI runtime container pid"));
	assert_int_equal(access(bundle_file(f, "init", NULL), F_OK), -1);
	unlink(bundle_file(f, "no-pid", NULL));
	assert_non_null(create(f, ""));
	assert_null(create(f, ""));
	assert_failed(f, ERR_EXISTS, "container web: already exists");
	assert_events(f, "/tasks/create");
}

struct seen_state {
	struct fixture *f;
	bool answered;
	enum err_class class;
	Tasktypes__Status status;
};

static void on_seen_state(void *arg, const struct err *e, const void *reply)
{
	struct seen_state *seen = arg;

	seen->answered = true;
	seen->class = err_class(e);
	if (reply)
		seen->status = ((const Shim3__StateResponse *)reply)->status;
	loop_stop(seen->f->loop);
}

static void see_state_within_create(struct fixture *f, struct seen_state *seen)
{
	REQUEST(r, Shim3__StateRequest, SHIM3__STATE_REQUEST__INIT);

	*seen = (struct seen_state){.f = f};
	begin_create(f, "");
	ttrpc_call_async(f->client, "ns", "containerd.task.v3.Task", "State", &r,
		&shim3__state_response__descriptor, 0, on_seen_state, seen);
	while (!seen->answered || !f->answered)
		loop_run(f->loop);
}

/* Nobody is told that a task which is being made does not exist. */
static void test_state_within_create(void **state)
{
	struct fixture *f = *state;
	struct seen_state seen;
	char *mark;

	make_bundle(f, "exit 0\n");
	bundle_file(f, "slow-create", "");
	mark = bundle_file(f, "fail-create", "");
	see_state_within_create(f, &seen);
	assert_failed(f, ERR_UNKNOWN, "OCI runtime create failed: cannot create this");
	assert_int_equal(seen.class, ERR_NOT_FOUND);
	assert_int_equal(unlink(mark), 0);
	see_state_within_create(f, &seen);
	assert_string_equal(f->message, "");
	assert_int_equal(seen.class, ERR_OK);
	assert_int_equal(seen.status, TASKTYPES__STATUS__CREATED);
}

static void test_failed_start(void **state)
{
	struct fixture *f = *state;

	make_bundle(f, "exit 0\n");
	bundle_file(f, "fail-start", "");
	assert_non_null(create(f, ""));
	assert_null(start_process(f, ""));
	assert_failed(f, ERR_UNKNOWN, "OCI runtime start failed: cannot start this");
	assert_int_equal(status(f), TASKTYPES__STATUS__CREATED);
	assert_non_null(delete_process(f, ""));
	assert_events(f, "/tasks/create, /tasks/exit web 137, /tasks/delete");
}

static void test_execs(void **state)
{
	struct fixture *f = *state;

	make_bundle(f, "exec sleep 1000\n");
	assert_non_null(create(f, ""));
	assert_non_null(start_process(f, ""));
	delete_process(f, "");
	assert_failed(f, ERR_UNKNOWN, "cannot delete a running process");
	add_exec(f, "one", "{\"args\":[\"x\"],\"terminal\":true}");
	assert_int_equal(f->class, ERR_OK);
	add_exec(f, "one", "{}");
	assert_failed(f, ERR_EXISTS, "id one: already exists");
	add_exec(f, "../x", "{}");
	assert_int_equal(f->class, ERR_INVALID);
	add_exec(f, "two", "not json");
	assert_int_equal(f->class, ERR_INVALID);
	kill_process(f, "one", SIGTERM);
	assert_failed(f, ERR_PRECONDITION, "process not created: failed precondition");
	assert_non_null(start_process(f, "one"));
	assert_int_equal(wait_process(f, "one")->exit_status, 5);
	assert_int_equal(delete_process(f, "one")->exit_status, 5);
	delete_process(f, "one");
	assert_failed(f, ERR_NOT_FOUND, "process does not exist one: not found");
	add_exec(f, "bad", "{\"args\":[\"fail\"]}");
	assert_null(start_process(f, "bad"));
	assert_failed(f, ERR_UNKNOWN, "OCI runtime exec failed: cannot exec this");
	assert_non_null(delete_process(f, "bad"));
	kill_process(f, "", SIGTERM);
	assert_int_equal(wait_process(f, "")->exit_status, 128 + SIGTERM);
	assert_events(f, "/tasks/create, /tasks/start, /tasks/exec-added, /tasks/exec-started, "
			 "/tasks/exit one 5, /tasks/exec-added, /tasks/exit web 143");
}

static void test_pause(void **state)
{
	struct fixture *f = *state;
	REQUEST(pause, Shim3__PauseRequest, SHIM3__PAUSE_REQUEST__INIT);
	REQUEST(resume, Shim3__ResumeRequest, SHIM3__RESUME_REQUEST__INIT);

	make_bundle(f, "exec sleep 1000\n");
	assert_non_null(create(f, ""));
	call(f, "Pause", &pause, NULL);
	assert_failed(f, ERR_UNKNOWN, "cannot pause task in created state");
	assert_non_null(start_process(f, ""));
	call(f, "Pause", &pause, NULL);
	assert_int_equal(status(f), TASKTYPES__STATUS__PAUSED);
	add_exec(f, "one", "{}");
	assert_failed(f, ERR_UNKNOWN, "cannot exec in a paused state");
	call(f, "Resume", &resume, NULL);
	assert_int_equal(status(f), TASKTYPES__STATUS__RUNNING);
	kill_process(f, "", SIGKILL);
	assert_int_equal(wait_process(f, "")->exit_status, 128 + SIGKILL);
}

/* The daemon is away for a while: what happened meanwhile arrives, in order. */
static void test_daemon_away(void **state)
{
	struct fixture *f = *state;
	autofree char *path = path_join(f->dir, "d");

	make_bundle(f, "exit 4\n");
	assert_non_null(create(f, ""));
	assert_events(f, "/tasks/create");
	ttrpc_server_free(f->daemon);
	f->daemon = NULL;
	unlink(path);
	assert_non_null(start_process(f, ""));
	assert_int_equal(wait_process(f, "")->exit_status, 4);
	assert_non_null(delete_process(f, ""));
	start_daemon(f);
	assert_events(f, "/tasks/create, /tasks/start, /tasks/exit web 4, /tasks/delete");
}

static void test_shutdown(void **state)
{
	struct fixture *f = *state;
	REQUEST(r, Shim3__ShutdownRequest, SHIM3__SHUTDOWN_REQUEST__INIT);
	autofree char *socket = path_join(f->dir, "s");
	int wstatus = -1;

	make_bundle(f, "exit 0\n");
	assert_non_null(create(f, ""));
	call(f, "Shutdown", &r, NULL);
	assert_int_equal(f->class, ERR_OK);
	assert_int_equal(
		status(f), TASKTYPES__STATUS__CREATED); /* it stays: there is a container */
	assert_non_null(delete_process(f, ""));
	call(f, "Shutdown", &r, NULL);
	assert_int_equal(f->class, ERR_OK);
	assert_events(f, "/tasks/create, /tasks/exit web 137, /tasks/delete");
	assert_int_equal(waitpid(f->shim, &wstatus, 0), f->shim);
	f->shim = 0;
	assert_int_equal(wstatus, 0);
	assert_int_equal(access(socket, F_OK), -1);
}

static void create_sandbox(struct fixture *f, const char *netns)
{
	Shimsb__CreateSandboxRequest r = SHIMSB__CREATE_SANDBOX_REQUEST__INIT;

	r.sandbox_id = arena_strdup(f->arena, "pod");
	r.netns_path = arena_strdup(f->arena, netns);
	sandbox_call(f, "CreateSandbox", &r, &shimsb__create_sandbox_response__descriptor);
}

static const char *sandbox_state(struct fixture *f)
{
	Shimsb__SandboxStatusRequest r = SHIMSB__SANDBOX_STATUS_REQUEST__INIT;
	Shimsb__SandboxStatusResponse *s;

	r.sandbox_id = arena_strdup(f->arena, "pod");
	s = sandbox_call(f, "SandboxStatus", &r, &shimsb__sandbox_status_response__descriptor);
	assert_non_null(s);
	assert_non_null(s->created_at);
	return s->state;
}

static void start_sandbox(struct fixture *f)
{
	Shimsb__StartSandboxRequest r = SHIMSB__START_SANDBOX_REQUEST__INIT;
	Shimsb__StartSandboxResponse *started;

	r.sandbox_id = arena_strdup(f->arena, "pod");
	started = sandbox_call(f, "StartSandbox", &r, &shimsb__start_sandbox_response__descriptor);
	if (started)
		assert_int_equal(started->pid, f->shim);
}

static void stop_sandbox(struct fixture *f, uint32_t timeout_s)
{
	Shimsb__StopSandboxRequest r = SHIMSB__STOP_SANDBOX_REQUEST__INIT;

	r.sandbox_id = arena_strdup(f->arena, "pod");
	r.timeout_secs = timeout_s;
	sandbox_call(f, "StopSandbox", &r, &shimsb__stop_sandbox_response__descriptor);
}

static void test_sandbox_looks(void **state)
{
	struct fixture *f = *state;
	Shimsb__PingRequest ping = SHIMSB__PING_REQUEST__INIT;
	Shimsb__PlatformRequest platform = SHIMSB__PLATFORM_REQUEST__INIT;
	Shimsb__PlatformResponse *p;
	Shimsb__SandboxMetricsRequest metrics = SHIMSB__SANDBOX_METRICS_REQUEST__INIT;
	Shimsb__SandboxMetricsResponse *m;

	ping.sandbox_id = platform.sandbox_id = metrics.sandbox_id = arena_strdup(f->arena, "pod");
	sandbox_call(f, "PingSandbox", &ping, &shimsb__ping_response__descriptor);
	assert_failed(f, ERR_NOT_FOUND, "sandbox pod: not found");
	create_sandbox(f, "/nosuch");
	assert_int_equal(f->class, ERR_NOT_FOUND);
	create_sandbox(f, "/dev/null");
	assert_failed(f, ERR_INVALID, "/dev/null is not a network namespace");
	create_sandbox(f, "/proc/self/ns/net");
	assert_int_equal(f->class, ERR_OK);
	create_sandbox(f, "");
	assert_failed(f, ERR_EXISTS, "shim has sandbox pod: already exists");
	sandbox_call(f, "PingSandbox", &ping, &shimsb__ping_response__descriptor);
	assert_int_equal(f->class, ERR_OK);
	assert_string_equal(sandbox_state(f), "SANDBOX_NOTREADY");
	start_sandbox(f);
	assert_int_equal(f->class, ERR_OK);
	start_sandbox(f);
	assert_failed(f, ERR_PRECONDITION, "sandbox pod was started before");
	assert_string_equal(sandbox_state(f), "SANDBOX_READY");
	p = sandbox_call(f, "Platform", &platform, &shimsb__platform_response__descriptor);
	assert_string_equal(p->platform->os, "linux");
	assert_true(*p->platform->architecture);
	m = sandbox_call(
		f, "SandboxMetrics", &metrics, &shimsb__sandbox_metrics_response__descriptor);
	assert_string_equal(m->metrics->id, "pod");
	assert_true(m->metrics->data->value.len > 0);
}

/* Stopping ends the containers, the polite ones by themselves; nothing is created after that. */
static void test_sandbox_stop(void **state)
{
	struct fixture *f = *state;

	make_bundle(f, "trap 'exit 9' TERM\n: > ready\nwhile :; do sleep 0.01; done\n");
	create_sandbox(f, "");
	start_sandbox(f);
	assert_non_null(create(f, ""));
	assert_non_null(start_process(f, ""));
	while (access(bundle_file(f, "ready", NULL), F_OK) < 0 &&
		access(arena_printf(f->arena, "%s/ready", f->dir), F_OK) < 0)
		assert_int_equal(status(f), TASKTYPES__STATUS__RUNNING);
	stop_sandbox(f, 20);
	assert_int_equal(f->class, ERR_OK);
	assert_string_equal(sandbox_state(f), "SANDBOX_NOTREADY");
	assert_int_equal(status(f), TASKTYPES__STATUS__STOPPED);
	assert_int_equal(delete_process(f, "")->exit_status, 9);
	stop_sandbox(f, 0);
	assert_int_equal(f->class, ERR_OK);
	assert_null(create(f, ""));
	assert_failed(f, ERR_PRECONDITION, "sandbox pod is stopped: failed precondition");
}

static void on_waited(void *arg, const struct err *e, const void *reply)
{
	const Shimsb__WaitSandboxResponse *r = reply;

	*(bool *)arg = !e && r->exited_at;
}

/* A sandbox keeps the shim there without containers, and takes it along. */
static void test_sandbox_shutdown(void **state)
{
	struct fixture *f = *state;
	Shimsb__WaitSandboxRequest wait = SHIMSB__WAIT_SANDBOX_REQUEST__INIT;
	Shimsb__ShutdownSandboxRequest end = SHIMSB__SHUTDOWN_SANDBOX_REQUEST__INIT;
	REQUEST(shutdown, Shim3__ShutdownRequest, SHIM3__SHUTDOWN_REQUEST__INIT);
	bool waited = false;

	wait.sandbox_id = end.sandbox_id = arena_strdup(f->arena, "pod");
	make_bundle(f, "exec sleep 1000\n");
	create_sandbox(f, "");
	start_sandbox(f);
	call(f, "Shutdown", &shutdown, NULL);
	assert_non_null(create(f, ""));
	assert_non_null(start_process(f, ""));
	ttrpc_call_async(f->client, "ns", "containerd.runtime.sandbox.v1.Sandbox", "WaitSandbox",
		&wait, &shimsb__wait_sandbox_response__descriptor, 0, on_waited, &waited);
	assert_non_null(sandbox_call(
		f, "ShutdownSandbox", &end, &shimsb__shutdown_sandbox_response__descriptor));
	assert_true(waited);
	assert_int_equal(waitpid(f->shim, NULL, 0), f->shim);
	f->shim = 0;
	assert_events(f, "/tasks/create, /tasks/start, /tasks/exit web 137");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exit_within_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exit_after_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed_create, setup, teardown),
		cmocka_unit_test_setup_teardown(test_state_within_create, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_execs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(test_daemon_away, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shutdown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sandbox_looks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sandbox_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sandbox_shutdown, setup, teardown),
	};

	if (argc != 3)
		return 77;
	program = realpath(argv[1], NULL);
	fake_runc = realpath(argv[2], NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
