// SPDX-License-Identifier: Apache-2.0
#include "shim/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "base/alloc.h"
#include "base/identifier.h"
#include "oci/platform.h"
#include "proto/shim-sandbox.pb-c.h"
#include "rpc/message.h"
#include "shim/container.h"
#include "shim/metrics.h"

#define READY "SANDBOX_READY"
#define NOT_READY "SANDBOX_NOTREADY"
/* How long processes that were killed may take to end. */
#define KILLED_MS 10000
#define STOP_MAX_S 3600

/* A call that is answered once the sandbox has stopped. */
struct pending {
	struct list node; /* of the sandbox; owned */
	struct rpc_call *call;
	struct err *(*answer)(struct rpc_call *call, struct sandbox *s);
	bool stops; /* it fails when the containers do not end */
	bool ends;  /* nothing is left of the sandbox afterwards */
};

struct sandbox {
	struct shim *shim;
	char *id;
	int netns; /* -1: none */
	bool started, stopping, stopped;
	int signum; /* that containers are ended with */
	struct loop_timer *overdue;
	struct timestamp created_at, exited_at;
	struct list pending;
};

static void sandbox_free(struct sandbox *s)
{
	s->shim->sandbox = NULL;
	loop_timer_free(s->overdue);
	if (s->netns >= 0)
		close(s->netns);
	free(s->id);
	free(s);
}

static struct err *find(struct shim *shim, const char *id, struct sandbox **ret)
{
	if (!shim->sandbox || !str_eq(shim->sandbox->id, id))
		return err_new(ERR_NOT_FOUND, "sandbox %s: not found", id);
	*ret = shim->sandbox;
	return NULL;
}

/* --- its end --- */

static void answer_pending(struct pending *p, struct err *take_e)
{
	struct rpc_call *call = p->call;

	list_remove(&p->node);
	free(p);
	rpc_finish(call, take_e);
}

static void on_cancelled(struct rpc_call *call, void *arg)
{
	(void)call;
	answer_pending(arg, err_new(ERR_CANCELLED, "context canceled"));
}

static void answer_all(struct sandbox *s)
{
	struct shim *shim = s->shim;
	bool ends = false;

	list_each(struct pending, p, &s->pending, node)
	{
		ends = ends || p->ends;
		answer_pending(p, p->answer(p->call, s));
	}
	if (!ends)
		return;
	sandbox_free(s);
	shim->shutdown(shim);
}

/* Whether containers are left that run, or are about to; those that run get the signal. */
static bool end_containers(struct sandbox *s)
{
	bool left = false;
	void *value;

	for (size_t i = 0; map_next(&s->shim->containers, &i, NULL, &value);) {
		struct container *c = value;

		if (!c->init || c->init->exit_told)
			continue;
		left = true;
		if (c->stop_signal == s->signum || !c->init->pid || c->init->reaped)
			continue;
		c->stop_signal = s->signum;
		kill(c->init->pid, s->signum);
	}
	return left;
}

static void step(struct sandbox *s)
{
	if (end_containers(s))
		return;
	loop_timer_clear(s->overdue);
	s->stopping = false;
	s->stopped = true;
	s->exited_at = timestamp_now();
	if (s->netns >= 0)
		close(s->netns);
	s->netns = -1;
	answer_all(s);
}

static void on_overdue(void *arg)
{
	struct sandbox *s = arg;

	if (s->signum != SIGKILL) {
		s->signum = SIGKILL;
		loop_timer_set(s->overdue, KILLED_MS);
		step(s);
		return;
	}
	s->stopping = false;
	list_each(struct pending, p, &s->pending, node)
	{
		if (p->stops)
			answer_pending(
				p, err_new(ERR_DEADLINE,
					   "sandbox %s: containers were killed and do not end",
					   s->id));
	}
}

static void begin_stop(struct sandbox *s, uint32_t timeout_s)
{
	s->signum = timeout_s ? SIGTERM : SIGKILL;
	s->stopping = true;
	loop_timer_set(s->overdue,
		timeout_s ? (int64_t)MIN(timeout_s, (uint32_t)STOP_MAX_S) * 1000 : KILLED_MS);
}

/* Answers now when it has stopped already. */
static struct err *when_stopped(struct sandbox *s, struct rpc_call *call, struct pending like)
{
	struct pending *p = NEW(struct pending);

	*p = like;
	p->call = call;
	list_append(&s->pending, &p->node);
	rpc_park(call, on_cancelled, p);
	if (s->stopped)
		answer_all(s);
	else if (s->stopping)
		step(s);
	return NULL;
}

struct err *sandbox_check_open(const struct shim *s)
{
	if (s->sandbox && (s->sandbox->stopping || s->sandbox->stopped))
		return err_new(ERR_PRECONDITION, "sandbox %s is stopped: failed precondition",
			s->sandbox->id);
	return NULL;
}

void sandbox_containers_changed(struct shim *s)
{
	if (s->sandbox && s->sandbox->stopping)
		step(s->sandbox);
}

/* --- life --- */

static struct err *open_netns(const char *path, int *ret)
{
	autofd fd = -1;

	*ret = -1;
	if (str_empty(path))
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_sys(errno, "network namespace %s", path);
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return err_new(ERR_INVALID, "%s is not a network namespace", path);
	*ret = TAKE_FD(fd);
	return NULL;
}

static struct err *handle_create(struct rpc_call *call, void *impl)
{
	const Shimsb__CreateSandboxRequest *r = rpc_request(call);
	Shimsb__CreateSandboxResponse reply = SHIMSB__CREATE_SANDBOX_RESPONSE__INIT;
	struct shim *shim = impl;
	struct sandbox *s;
	int netns;

	TRY(identifier_check(r->sandbox_id));
	if (shim->sandbox)
		return err_new(
			ERR_EXISTS, "shim has sandbox %s: already exists", shim->sandbox->id);
	TRY(open_netns(r->netns_path, &netns));
	s = shim->sandbox = NEW(struct sandbox);
	s->shim = shim;
	s->id = xstrdup(r->sandbox_id);
	s->netns = netns;
	s->overdue = loop_timer_new(shim->loop, on_overdue, s);
	s->created_at = timestamp_now();
	list_init(&s->pending);
	return rpc_reply(call, &reply);
}

static struct err *handle_start(struct rpc_call *call, void *impl)
{
	const Shimsb__StartSandboxRequest *r = rpc_request(call);
	Shimsb__StartSandboxResponse reply = SHIMSB__START_SANDBOX_RESPONSE__INIT;
	struct sandbox *s;

	TRY(find(impl, r->sandbox_id, &s));
	if (s->started)
		return err_new(ERR_PRECONDITION, "sandbox %s was started before", s->id);
	TRY(sandbox_check_open(impl));
	s->started = true;
	reply.pid = (uint32_t)getpid();
	reply.created_at = timestamp_to_wire(s->created_at, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *answer_stop(struct rpc_call *call, struct sandbox *s)
{
	Shimsb__StopSandboxResponse reply = SHIMSB__STOP_SANDBOX_RESPONSE__INIT;

	(void)s;
	return rpc_reply(call, &reply);
}

static struct err *handle_stop(struct rpc_call *call, void *impl)
{
	const Shimsb__StopSandboxRequest *r = rpc_request(call);
	struct sandbox *s;

	TRY(find(impl, r->sandbox_id, &s));
	if (!s->stopped)
		begin_stop(s, r->timeout_secs);
	return when_stopped(s, call, (struct pending){.answer = answer_stop, .stops = true});
}

static struct err *answer_shutdown(struct rpc_call *call, struct sandbox *s)
{
	Shimsb__ShutdownSandboxResponse reply = SHIMSB__SHUTDOWN_SANDBOX_RESPONSE__INIT;

	(void)s;
	return rpc_reply(call, &reply);
}

static struct err *handle_shutdown(struct rpc_call *call, void *impl)
{
	const Shimsb__ShutdownSandboxRequest *r = rpc_request(call);
	struct sandbox *s;

	TRY(find(impl, r->sandbox_id, &s));
	if (!s->stopped)
		begin_stop(s, 0);
	return when_stopped(
		s, call, (struct pending){.answer = answer_shutdown, .stops = true, .ends = true});
}

static struct err *answer_wait(struct rpc_call *call, struct sandbox *s)
{
	Shimsb__WaitSandboxResponse reply = SHIMSB__WAIT_SANDBOX_RESPONSE__INIT;

	reply.exited_at = timestamp_to_wire(s->exited_at, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *handle_wait(struct rpc_call *call, void *impl)
{
	const Shimsb__WaitSandboxRequest *r = rpc_request(call);
	struct sandbox *s;

	TRY(find(impl, r->sandbox_id, &s));
	return when_stopped(s, call, (struct pending){.answer = answer_wait});
}

/* --- looking --- */

static struct err *handle_platform(struct rpc_call *call, void *impl)
{
	const Shimsb__PlatformRequest *r = rpc_request(call);
	Shimsb__PlatformResponse reply = SHIMSB__PLATFORM_RESPONSE__INIT;
	Types__Platform platform = TYPES__PLATFORM__INIT;
	struct sandbox *s;

	TRY(find(impl, r->sandbox_id, &s));
	platform.os = (char *)PLATFORM_HOST_OS;
	platform.architecture = (char *)PLATFORM_HOST_ARCH;
	reply.platform = &platform;
	return rpc_reply(call, &reply);
}

static struct err *handle_status(struct rpc_call *call, void *impl)
{
	const Shimsb__SandboxStatusRequest *r = rpc_request(call);
	Shimsb__SandboxStatusResponse reply = SHIMSB__SANDBOX_STATUS_RESPONSE__INIT;
	struct sandbox *s;

	TRY(find(impl, r->sandbox_id, &s));
	reply.sandbox_id = s->id;
	reply.pid = s->started ? (uint32_t)getpid() : 0;
	reply.state = (char *)(s->started && !s->stopped ? READY : NOT_READY);
	reply.created_at = timestamp_to_wire(s->created_at, rpc_arena(call));
	reply.exited_at = timestamp_to_wire(s->exited_at, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *handle_ping(struct rpc_call *call, void *impl)
{
	const Shimsb__PingRequest *r = rpc_request(call);
	Shimsb__PingResponse reply = SHIMSB__PING_RESPONSE__INIT;
	struct sandbox *s;

	TRY(find(impl, r->sandbox_id, &s));
	return rpc_reply(call, &reply);
}

/* Of the control group that the shim was put into. */
static struct err *handle_metrics(struct rpc_call *call, void *impl)
{
	const Shimsb__SandboxMetricsRequest *r = rpc_request(call);
	Shimsb__SandboxMetricsResponse reply = SHIMSB__SANDBOX_METRICS_RESPONSE__INIT;
	Types__Metric metric = TYPES__METRIC__INIT;
	autoptr(cgroup) c = NULL;
	struct sandbox *s;

	TRY(find(impl, r->sandbox_id, &s));
	TRY(cgroup_of(getpid(), &c));
	metric.timestamp = timestamp_to_wire(timestamp_now(), rpc_arena(call));
	metric.id = s->id;
	metric.data = cgroup_is_unified(c) ? metrics_v2(c, rpc_arena(call))
					   : metrics_v1(c, rpc_arena(call));
	reply.metrics = &metric;
	return rpc_reply(call, &reply);
}

/* --- the table --- */

#define METHOD(name, handler, prefix)                                                              \
	{name, RPC_UNARY, LANE_NORMAL, &shimsb__##prefix##_request__descriptor,                    \
		&shimsb__##prefix##_response__descriptor, handler}

static const struct rpc_method methods[] = {
	METHOD("CreateSandbox", handle_create, create_sandbox),
	METHOD("StartSandbox", handle_start, start_sandbox),
	METHOD("Platform", handle_platform, platform),
	METHOD("StopSandbox", handle_stop, stop_sandbox),
	METHOD("WaitSandbox", handle_wait, wait_sandbox),
	METHOD("SandboxStatus", handle_status, sandbox_status),
	METHOD("PingSandbox", handle_ping, ping),
	METHOD("ShutdownSandbox", handle_shutdown, shutdown_sandbox),
	METHOD("SandboxMetrics", handle_metrics, sandbox_metrics),
};

const struct rpc_service sandbox_service = {
	"containerd.runtime.sandbox.v1.Sandbox", methods, ARRAY_LEN(methods)};
