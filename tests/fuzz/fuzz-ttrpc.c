// SPDX-License-Identifier: Apache-2.0
/* What a peer of the ttrpc sockets may send: frames, and the envelopes in them. */
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "proto/ttrpc.pb-c.h"
#include "rpc/message.h"
#include "rpc/ttrpc-wire.h"
#include "rpc/ttrpc.h"

#define INPUT_MAX ((size_t)64 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool on_frame(void *arg, const struct ttrpc_frame *f)
{
	const ProtobufCMessageDescriptor *type = f->type == TTRPC_REQUEST
							 ? &ttrpc__request__descriptor
							 : &ttrpc__response__descriptor;
	autoptr(arena) arena = arena_new();
	autoptr(err) e = NULL;
	void *m;

	(void)arg;
	if (!f->data)
		return f->len > TTRPC_MESSAGE_MAX;
	e = message_unpack(type, f->data, f->len, arena, &m);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ttrpc_reader r;
	int fds[2];

	if (size > INPUT_MAX ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return 0;
	/* The second half comes later, so that frames are cut. */
	ttrpc_reader_init(&r, fds[0]);
	for (int half = 0; half < 2; half++) {
		size_t from = half ? size / 2 : 0, to = half ? size : size / 2;

		if (to > from && write_full(fds[1], data + from, to - from) == 0) {
			uint8_t probe;

			while (recv(fds[0], &probe, 1, MSG_PEEK | MSG_DONTWAIT) == 1 &&
				ttrpc_reader_run(&r, on_frame, NULL))
				;
		}
	}
	ttrpc_reader_done(&r);
	close(fds[0]);
	close(fds[1]);
	return 0;
}
