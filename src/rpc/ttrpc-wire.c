// SPDX-License-Identifier: Apache-2.0
#include "rpc/ttrpc-wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "rpc/ttrpc.h"

/* One read of most messages; on the stack, so that an idle connection costs no memory. */
#define READ_SIZE 4096
#define READ_LARGE ((size_t)128 * 1024)
#define BYTES_PER_TURN ((size_t)1 << 20)
/* The first byte of every frame is zero: lengths beyond this are no ttrpc. */
#define LENGTH_BOGUS ((uint32_t)1 << 24)

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

void ttrpc_reader_init(struct ttrpc_reader *r, int fd)
{
	*r = (struct ttrpc_reader){.fd = fd, .body = BUF_INIT(TTRPC_MESSAGE_MAX)};
}

void ttrpc_reader_done(struct ttrpc_reader *r)
{
	buf_done(&r->body);
}

static bool deliver(struct ttrpc_reader *r, const uint8_t *data, ttrpc_frame_fn fn, void *arg)
{
	struct ttrpc_frame f = r->frame;

	f.data = data;
	r->header_len = 0;
	return fn(arg, &f);
}

/* The header is complete: what it says decides on the bytes behind it. */
static bool begin_frame(struct ttrpc_reader *r, ttrpc_frame_fn fn, void *arg)
{
	r->frame = (struct ttrpc_frame){
		.len = be32(r->header),
		.stream = be32(r->header + 4),
		.type = r->header[8],
		.flags = r->header[9],
	};
	if (r->frame.len >= LENGTH_BOGUS)
		return false;
	if (r->frame.len <= TTRPC_MESSAGE_MAX)
		return r->frame.len ? true : deliver(r, (const uint8_t *)"", fn, arg);
	r->skip = r->frame.len;
	return deliver(r, NULL, fn, arg);
}

/* The body's bytes as they come; one that came in one piece is delivered from where it lies. */
static bool feed_body(
	struct ttrpc_reader *r, const uint8_t **p, size_t *n, ttrpc_frame_fn fn, void *arg)
{
	size_t missing = r->frame.len - r->body.len, take = MIN(missing, *n);
	const uint8_t *data = *p;
	struct buf body;
	bool more;

	*p += take;
	*n -= take;
	if (!r->body.len && take == missing)
		return deliver(r, data, fn, arg);
	if (!buf_append(&r->body, data, take))
		return false;
	if (take < missing)
		return true;
	body = r->body;
	r->body = BUF_INIT(TTRPC_MESSAGE_MAX);
	more = deliver(r, body.data, fn, arg);
	buf_done(&body);
	return more;
}

static bool feed(struct ttrpc_reader *r, const uint8_t *p, size_t n, ttrpc_frame_fn fn, void *arg)
{
	while (n) {
		size_t take;

		if (r->skip) {
			take = MIN((size_t)r->skip, n);
			r->skip -= (uint32_t)take;
		} else if (r->header_len < TTRPC_HEADER) {
			take = MIN((size_t)TTRPC_HEADER - r->header_len, n);
			memcpy(r->header + r->header_len, p, take);
			r->header_len = (uint8_t)(r->header_len + take);
			if (r->header_len == TTRPC_HEADER && !begin_frame(r, fn, arg))
				return false;
		} else {
			if (!feed_body(r, &p, &n, fn, arg))
				return false;
			continue;
		}
		p += take;
		n -= take;
	}
	return true;
}

/* A long body is read to where it stays; memory is taken as the bytes come, not as announced. */
static ssize_t read_body(struct ttrpc_reader *r)
{
	size_t room = MIN(r->frame.len - r->body.len - 1, READ_LARGE);
	ssize_t n;

	if (!buf_reserve(&r->body, room)) {
		errno = EMSGSIZE;
		return -1;
	}
	n = recv(r->fd, r->body.data + r->body.len, room, 0);
	if (n > 0)
		r->body.len += (size_t)n;
	return n;
}

bool ttrpc_reader_run(struct ttrpc_reader *r, ttrpc_frame_fn fn, void *arg)
{
	for (size_t total = 0; total < BYTES_PER_TURN;) {
		uint8_t data[READ_SIZE];
		bool large = r->header_len == TTRPC_HEADER && r->body.len &&
			     r->frame.len - r->body.len > READ_SIZE;
		ssize_t n = large ? read_body(r) : recv(r->fd, data, sizeof(data), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0 || (!large && !feed(r, data, (size_t)n, fn, arg)))
			return false;
		if (!large && (size_t)n < sizeof(data))
			return true;
		total += (size_t)n;
	}
	return true;
}

void ttrpc_writer_init(struct ttrpc_writer *w, int fd, size_t max_queue)
{
	*w = (struct ttrpc_writer){.fd = fd, .queue = BUF_INIT(max_queue)};
}

void ttrpc_writer_done(struct ttrpc_writer *w)
{
	buf_done(&w->queue);
}

/* Bytes sent, 0 when the socket takes none now; marks a broken connection. */
static size_t send_some(struct ttrpc_writer *w, struct iovec *parts, size_t n_parts)
{
	struct msghdr msg = {.msg_iov = parts, .msg_iovlen = n_parts};
	ssize_t n;

	do
		n = sendmsg(w->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN)
		w->broken = true;
	return n < 0 ? 0 : (size_t)n;
}

bool ttrpc_writer_send(
	struct ttrpc_writer *w, uint32_t stream, enum ttrpc_type type, const void *data, size_t len)
{
	uint8_t header[TTRPC_HEADER] = {[8] = (uint8_t)type};
	struct iovec parts[] = {{header, sizeof(header)}, {(void *)data, len}};
	size_t sent = 0, of_header;

	if (w->broken || w->queue.max - w->queue.len < sizeof(header) + len)
		return false;
	put_be32(header, (uint32_t)len);
	put_be32(header + 4, stream);
	if (!w->queue.len)
		sent = send_some(w, parts, len ? 2 : 1);
	if (w->broken)
		return false;
	if (sent == sizeof(header) + len)
		return true;
	of_header = MIN(sent, sizeof(header));
	sent -= of_header;
	return buf_append(&w->queue, header + of_header, sizeof(header) - of_header) &&
	       (sent == len || buf_append(&w->queue, (const uint8_t *)data + sent, len - sent));
}

bool ttrpc_writer_flush(struct ttrpc_writer *w)
{
	size_t done = 0;

	while (!w->broken && done < w->queue.len) {
		struct iovec part = {w->queue.data + done, w->queue.len - done};
		size_t n = send_some(w, &part, 1);

		if (!n)
			break;
		done += n;
	}
	buf_consume(&w->queue, done);
	if (!w->queue.len) {
		size_t max = w->queue.max;

		buf_done(&w->queue);
		w->queue = BUF_INIT(max);
	}
	return !w->broken;
}
