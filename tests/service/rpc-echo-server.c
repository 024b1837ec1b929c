// SPDX-License-Identifier: Apache-2.0
/* A server for clients written in other languages: `rpc-echo-server SOCKET`. Ends by draining after
 * SIGTERM. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "rpc-echo.h"
#include "rpc/grpc.h"

static struct err *listen_at(const char *path, int *ret)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(sun.sun_path))
		return err_new(ERR_INVALID, "socket %s: path too long", path);
	memcpy(sun.sun_path, path, strlen(path));
	unlink(path);
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 || listen(fd, 4096) < 0)
		return err_sys(errno, "listen at %s", path);
	*ret = TAKE_FD(fd);
	return NULL;
}

static struct loop *loop;
static struct rpc_server *server;

static void on_drained(void *arg)
{
	loop_stop(loop);
}

static void on_signal(void *arg, int signum)
{
	grpc_server_drain(server, 2000, on_drained, NULL);
}

static struct err *serve(const char *path)
{
	const struct pool_limits limits = {.threads = {4, 8, 32}, .queue = {1000, 100000, 1000}};
	autoptr(pool) pool = pool_new("echo", &limits);
	struct grpc_server_options options = {0};
	int fd = -1;

	TRY(loop_new(&loop));
	TRY(loop_add_signal(loop, SIGTERM, on_signal, NULL));
	if (getenv("HANDSHAKE_MS"))
		options.handshake_ms = strtol(getenv("HANDSHAKE_MS"), NULL, 10);
	server = grpc_server_new(loop, pool, &options);
	rpc_server_add(server, &rpc_echo_service, NULL);
	TRY(listen_at(path, &fd));
	TRY(grpc_server_listen(server, fd));
	printf("ready\n");
	fflush(stdout);
	loop_run(loop);
	grpc_server_free(server);
	pool_free(TAKE(pool));
	loop_free(loop);
	return NULL;
}

int main(int argc, char **argv)
{
	autoptr(err) e = NULL;

	if (argc != 2) {
		fprintf(stderr, "usage: %s SOCKET\n", argv[0]);
		return 2;
	}
	e = serve(argv[1]);
	if (e)
		fprintf(stderr, "%s: %s\n", argv[0], err_message(e));
	return e ? 1 : 0;
}
