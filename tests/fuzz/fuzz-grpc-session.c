// SPDX-License-Identifier: Apache-2.0
/* Bytes into a connection of the gRPC server, up to the end of the connection. */
#include <stdlib.h>
#include <sys/socket.h>

#include "google/protobuf/any.pb-c.h"
#include "rpc/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct err *do_echo(struct rpc_call *call, void *impl)
{
	return rpc_reply(call, rpc_request(call));
}

static struct err *do_bidi(struct rpc_call *call, void *impl)
{
	void *message;

	TRY(rpc_recv_transient(call, &message));
	return message ? rpc_send(call, message) : NULL;
}

#define ANY &google__protobuf__any__descriptor
static const struct rpc_method methods[] = {
	{"Unary", RPC_UNARY, LANE_NORMAL, ANY, ANY, do_echo},
	{"Bidi", RPC_BIDI, LANE_BULK, ANY, ANY, do_bidi},
};
static const struct rpc_service service = {"test.Echo", methods, ARRAY_LEN(methods)};

struct peer {
	struct loop *loop;
	int fd;
};

static void must(struct err *e)
{
	if (e)
		abort();
}

/* Read what the server says until it closes. */
static void on_peer(void *arg, unsigned events)
{
	struct peer *p = arg;
	char buf[65536];

	if (recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT) <= 0)
		loop_stop(p->loop);
}

static void on_drained(void *arg)
{
	loop_stop(arg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct peer p;
	struct rpc_server *server;
	struct loop_io *io;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		abort();
	must(loop_new(&p.loop));
	p.fd = fds[1];
	server = grpc_server_new(p.loop, NULL, NULL);
	rpc_server_add(server, &service, NULL);
	must(grpc_server_attach(server, fds[0]));
	/* As much as the socket takes at once. */
	(void)!send(p.fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(p.fd, SHUT_WR);
	must(loop_add_io(p.loop, p.fd, LOOP_READ, on_peer, &p, &io));
	loop_run(p.loop);
	loop_io_remove(io);
	close(p.fd);
	grpc_server_drain(server, 0, on_drained, p.loop);
	loop_run(p.loop);
	grpc_server_free(server);
	loop_free(p.loop);
	return 0;
}
