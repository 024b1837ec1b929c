// SPDX-License-Identifier: Apache-2.0
#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/timestamp.h"
#include "rpc/grpc.h"
#include "rpc/ttrpc.h"
#include "sandbox/shim-controller.h"

#define SOCKET_PATH_MAX 104 /* what containerd accepts */
#define DRAIN_MS 50

static const struct pool_limits lanes = {
	.threads = {[LANE_RESERVED] = 16, [LANE_NORMAL] = 64, [LANE_BULK] = 128},
	.queue = {[LANE_RESERVED] = 4096, [LANE_NORMAL] = 4096, [LANE_BULK] = 4096},
};

/* --- sockets --- */

static struct err *bind_unix(int fd, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memcpy(address.sun_path, path, strlen(path) + 1);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(errno, "remove the old socket %s", path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_sys(errno, "listen on %s", path);
	if (listen(fd, SOMAXCONN) < 0)
		return err_sys(errno, "listen on %s", path);
	return NULL;
}

static struct err *listen_unix(const char *path, int64_t uid, int64_t gid, int *ret)
{
	autofree char *dir = path_dir(path);
	autofd fd = -1;
	mode_t mask;
	struct err *e;

	if (strlen(path) > SOCKET_PATH_MAX)
		return err_new(ERR_INVALID, "\"%s\": unix socket path too long (> %d)", path,
			SOCKET_PATH_MAX);
	TRY(mkdir_p(dir, 0770));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(errno, "socket");
	mask = umask(0117);
	e = bind_unix(fd, path);
	umask(mask);
	TRY(e);
	if (chown(path, (uid_t)uid, (gid_t)gid) < 0)
		return err_sys(errno, "chown %s", path);
	*ret = TAKE_FD(fd);
	return NULL;
}

static struct err *listen_all(struct daemon *d)
{
	const struct config *c = d->config;
	int fd;

	TRY(listen_unix(c->ttrpc_address, c->ttrpc_uid, c->ttrpc_gid, &fd));
	TRY(ttrpc_server_listen(d->ttrpc, fd));
	log_info("serving...", "address", c->ttrpc_address);
	TRY(listen_unix(c->address, c->uid, c->gid, &fd));
	TRY(grpc_server_listen(d->grpc, fd));
	log_info("serving...", "address", c->address);
	return NULL;
}

/* --- the service manager --- */

/* sd_notify(3): one datagram to the socket the service manager named. */
static void notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t len;
	autofd fd = -1;

	if (str_empty(path) || strlen(path) >= sizeof(address.sun_path))
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memcpy(address.sun_path, path, strlen(path));
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (*path == '@')
		address.sun_path[0] = '\0';
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, len) < 0)
		log_warn("notify failed", "state", state);
}

/* --- start --- */

static struct err *make_directories(const struct config *c)
{
	TRY(mkdir_p(c->root, 0700));
	if (chmod(c->root, 0700) < 0)
		return err_sys(errno, "chmod %s", c->root);
	TRY(mkdir_p(c->state, 0711));
	if (str_empty(c->temp))
		return NULL;
	TRY(mkdir_p(c->temp, 0700));
	if (setenv("TMPDIR", c->temp, 1) < 0)
		return err_sys(errno, "set TMPDIR");
	return NULL;
}

static void set_oom_score(int64_t score)
{
	char text[32];
	autofd fd = -1;

	if (!score)
		return;
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	snprintf(text, sizeof(text), "%lld", (long long)score);
	if (fd < 0 || write_full(fd, text, strlen(text)) < 0)
		log_warn("oom_score not set", "score", text);
}

static struct err *own_path(char **ret)
{
	char path[512];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path));

	if (n < 0 || n == (ssize_t)sizeof(path))
		return err_sys(n < 0 ? errno : ENAMETOOLONG, "read /proc/self/exe");
	*ret = xstrndup(path, (size_t)n);
	return NULL;
}

static void on_drained(void *arg)
{
	struct daemon *d = arg;

	if (--d->draining == 0)
		loop_stop(d->loop);
}

static void drain(struct daemon *d)
{
	d->draining = 2;
	grpc_server_drain(d->grpc, DRAIN_MS, on_drained, d);
	ttrpc_server_drain(d->ttrpc, DRAIN_MS, on_drained, d);
}

/* While tasks are still being found again, the end waits for that: it has its own deadlines. */
static void on_stop(void *arg, int signum)
{
	struct daemon *d = arg;

	if (d->stopping)
		return;
	d->stopping = true;
	log_info("stopping", "signal", sigabbrev_np(signum));
	notify("STOPPING=1");
	if (d->loaded)
		drain(d);
}

static struct err *make_servers(struct daemon *d)
{
	struct grpc_server_options grpc = {
		.max_recv = (size_t)d->config->max_recv, .max_send = (size_t)d->config->max_send};
	struct ttrpc_server_options ttrpc = {.same_user = true};

	TRY(loop_new(&d->loop));
	TRY(loop_add_signal(d->loop, SIGTERM, on_stop, d));
	TRY(loop_add_signal(d->loop, SIGINT, on_stop, d));
	d->pool = pool_new("call", &lanes);
	d->grpc = grpc_server_new(d->loop, d->pool, &grpc);
	d->ttrpc = ttrpc_server_new(d->loop, d->pool, &ttrpc);
	return NULL;
}

struct err *daemon_start(const struct config *config, struct daemon **ret)
{
	autoptr(daemon) d = NEW(struct daemon);

	d->config = config;
	d->started_ns = monotonic_ns();
	signal(SIGPIPE, SIG_IGN);
	TRY(make_directories(config));
	set_oom_score(config->oom_score);
	TRY(own_path(&d->exe));
	TRY(make_servers(d));
	TRY(daemon_init_plugins(d));
	*ret = TAKE(d);
	return NULL;
}

/* --- serving --- */

static void on_loaded(void *arg)
{
	struct daemon *d = arg;
	char seconds[80];

	d->loaded = true;
	if (d->stopping) {
		drain(d);
		return;
	}
	if (!d->failure)
		d->failure = listen_all(d);
	if (d->failure) {
		loop_stop(d->loop);
		return;
	}
	notify("READY=1");
	snprintf(seconds, sizeof(seconds), "containerd successfully booted in %fs",
		(double)(monotonic_ns() - d->started_ns) / 1e9);
	log_info(seconds);
}

/* Shims are found again while the loop runs, since their answers come over it; only then do we
 * answer anybody. */
static void load_tasks(void *arg)
{
	struct daemon *d = arg;

	d->failure = task_manager_load(d->tasks);
	if (!d->failure && d->shim_sandboxes)
		d->failure = shim_controller_load(d->shim_sandboxes);
	loop_post(d->loop, on_loaded, d);
}

struct err *daemon_serve(struct daemon *d)
{
	TRY(pool_submit(d->pool, LANE_NORMAL, load_tasks, d));
	loop_run(d->loop);
	unlink(d->config->address);
	unlink(d->config->ttrpc_address);
	return TAKE(d->failure);
}

void daemon_free(struct daemon *d)
{
	if (!d)
		return;
	/* Handlers end before what they work on goes. */
	pool_free(d->pool);
	if (d->grpc)
		grpc_server_free(d->grpc);
	if (d->ttrpc)
		ttrpc_server_free(d->ttrpc);
	daemon_done_plugins(d);
	loop_free(d->loop);
	free(d->exe);
	free(d);
}
