// SPDX-License-Identifier: Apache-2.0
#include "rpc/h2.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/strv.h"

/* What one frame may need of the scratch: payload pieces that are copied, and its header. */
#define FRAME_ROOM ((size_t)17 * 1024)
#define FRAME_IOV 20
#define BATCH_BYTES ((size_t)192 * 1024)
/* Smaller pieces are copied together instead of becoming vectors. */
#define COPY_BELOW 2048
#define READS_PER_TURN 4
#define BATCHES_PER_TURN 16
#define FIRST_CAP ((size_t)64 * 1024)

struct h2_scratch *h2_scratch_new(void)
{
	struct h2_scratch *s = xmalloc(sizeof(*s));

	s->n = 0;
	s->used = s->total = 0;
	s->full = false;
	list_init(&s->spent);
	return s;
}

/* --- reading --- */

bool h2_conn_read(struct h2_conn *c)
{
	for (int i = 0; i < READS_PER_TURN; i++) {
		ssize_t n = recv(c->fd, c->scratch->buf, H2_SCRATCH, MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (n == 0)
			return false;
		if (nghttp2_session_mem_recv(c->session, c->scratch->buf, (size_t)n) != n)
			return false;
		if ((size_t)n < H2_SCRATCH / 2)
			break;
	}
	return true;
}

/* --- writing --- */

static void batch_reset(struct h2_scratch *s)
{
	rpc_msg_list_free(&s->spent);
	s->n = 0;
	s->used = s->total = 0;
	s->full = false;
}

static void batch_point(struct h2_scratch *s, const void *data, size_t len)
{
	struct iovec *last = s->n ? &s->iov[s->n - 1] : NULL;

	s->total += len;
	if (last && (const uint8_t *)last->iov_base + last->iov_len == data)
		last->iov_len += len;
	else
		s->iov[s->n++] = (struct iovec){(void *)(uintptr_t)data, len};
}

static void batch_copy(struct h2_scratch *s, const void *data, size_t len)
{
	memcpy(s->buf + s->used, data, len);
	batch_point(s, s->buf + s->used, len);
	s->used += len;
}

static bool batch_full(const struct h2_scratch *s)
{
	return s->n + FRAME_IOV > H2_IOV || H2_SCRATCH - s->used < FRAME_ROOM ||
	       s->total >= BATCH_BYTES;
}

/* Collect frames until there is nothing more or the batch is full. */
static bool gather(struct h2_conn *c)
{
	struct h2_scratch *s = c->scratch;

	batch_reset(s);
	while (!batch_full(s)) {
		const uint8_t *data;
		ssize_t n = nghttp2_session_mem_send(c->session, &data);

		if (n < 0 || (size_t)n > H2_SCRATCH - s->used)
			return false;
		if (n == 0 && !s->full)
			break;
		if (n > 0)
			batch_copy(s, data, (size_t)n);
	}
	return true;
}

/* Keep what the socket did not take, from byte `sent` of the batch on. */
static void keep_rest(struct h2_conn *c, size_t sent)
{
	struct h2_scratch *s = c->scratch;

	c->pending_len = s->total - sent;
	c->pending_off = 0;
	c->pending = xmalloc(c->pending_len);
	for (size_t i = 0, at = 0; i < s->n; i++) {
		size_t drop = MIN(sent, s->iov[i].iov_len);

		memcpy(c->pending + at, (uint8_t *)s->iov[i].iov_base + drop,
			s->iov[i].iov_len - drop);
		at += s->iov[i].iov_len - drop;
		sent -= drop;
	}
}

static ssize_t send_vectors(int fd, struct iovec *iov, unsigned n)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n};
	ssize_t r;

	do {
		r = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (r < 0 && errno == EINTR);
	if (r < 0 && errno == EAGAIN)
		return 0;
	return r;
}

static bool write_pending(struct h2_conn *c)
{
	struct iovec iov = {c->pending + c->pending_off, c->pending_len - c->pending_off};
	ssize_t n = send_vectors(c->fd, &iov, 1);

	if (n < 0)
		return false;
	c->pending_off += (size_t)n;
	if (c->pending_off == c->pending_len)
		free(TAKE(c->pending));
	return true;
}

static bool write_batch(struct h2_conn *c, bool *ret_empty)
{
	struct h2_scratch *s = c->scratch;
	bool ok = gather(c);
	ssize_t n = 0;

	*ret_empty = s->total == 0;
	if (s->total) {
		n = send_vectors(c->fd, s->iov, s->n);
		if (n >= 0 && (size_t)n < s->total)
			keep_rest(c, (size_t)n);
	}
	batch_reset(s);
	return ok && n >= 0;
}

static void watch(struct h2_conn *c, bool write)
{
	if (c->watch_write == write || !c->io)
		return;
	c->watch_write = write;
	loop_io_set(c->io, LOOP_READ | (write ? LOOP_WRITE : 0));
}

bool h2_conn_flush(struct h2_conn *c)
{
	bool empty = false;

	for (int i = 0; i < BATCHES_PER_TURN && !empty; i++) {
		if (c->pending) {
			if (!write_pending(c))
				return false;
			if (c->pending)
				break;
		}
		if (!c->session)
			break;
		if (!write_batch(c, &empty))
			return false;
	}
	/* More to say: the next turn, so that others get theirs. */
	watch(c, c->pending || (c->session && !empty));
	return c->pending || !c->session || nghttp2_session_want_read(c->session) ||
	       nghttp2_session_want_write(c->session);
}

void h2_conn_close(struct h2_conn *c)
{
	loop_io_remove(TAKE(c->io));
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	/* Streams are closed by the owner before. */
	nghttp2_session_del(TAKE(c->session));
	free(TAKE(c->pending));
}

/* --- messages out --- */

void h2_out_init(struct h2_out *o)
{
	list_init(&o->msgs);
	o->bytes = o->off = 0;
}

void h2_out_done(struct h2_out *o)
{
	rpc_msg_list_free(&o->msgs);
}

void h2_out_add(struct h2_out *o, struct list *take_msgs)
{
	while (!list_empty(take_msgs)) {
		struct rpc_msg *m = list_first(take_msgs, struct rpc_msg, node);
		uint8_t *prefix = rpc_msg_before(m, GRPC_PREFIX);
		uint32_t len = htonl((uint32_t)m->len);

		list_remove(&m->node);
		prefix[0] = 0;
		memcpy(prefix + 1, &len, sizeof(len));
		o->bytes += m->len + GRPC_PREFIX;
		list_append(&o->msgs, &m->node);
	}
}

int h2_out_frame(struct h2_scratch *s, struct h2_out *o, const uint8_t *head, size_t len,
	void (*sent)(void *arg, size_t bytes), void *arg)
{
	batch_copy(s, head, 9);
	o->bytes -= len;
	while (len) {
		struct rpc_msg *m = list_first(&o->msgs, struct rpc_msg, node);
		const uint8_t *from = rpc_msg_before(m, GRPC_PREFIX) + o->off;
		size_t n = MIN(len, m->len + GRPC_PREFIX - o->off);

		if (n < COPY_BELOW)
			batch_copy(s, from, n);
		else
			batch_point(s, from, n);
		o->off += n;
		len -= n;
		if (o->off == m->len + GRPC_PREFIX) {
			o->off = 0;
			list_remove(&m->node);
			list_append(&s->spent, &m->node);
			sent(arg, m->len);
		}
	}
	s->full = batch_full(s);
	return s->full ? NGHTTP2_ERR_PAUSE : 0;
}

/* --- messages in --- */

void h2_in_done(struct h2_in *in)
{
	rpc_msg_free(in->msg);
	*in = (struct h2_in){0};
}

bool h2_in_partial(const struct h2_in *in)
{
	return in->n_head > 0;
}

static struct err *check_flag(uint8_t flag, const char *encoding, bool server)
{
	if (flag == 0)
		return NULL;
	if (flag != 1)
		return err_new(ERR_INTERNAL, "grpc: received unexpected payload format %u", flag);
	if (str_empty(encoding) || strcmp(encoding, "identity") == 0)
		return err_new(
			ERR_INTERNAL, "grpc: compressed flag set with identity or empty encoding");
	return err_new(server ? ERR_UNIMPLEMENTED : ERR_INTERNAL,
		"grpc: Decompressor is not installed for grpc-encoding \"%s\"", encoding);
}

static struct err *start_message(struct h2_in *in, size_t max, const char *encoding, bool server)
{
	uint32_t len;

	memcpy(&len, in->head + 1, sizeof(len));
	in->len = ntohl(len);
	in->got = 0;
	TRY(check_flag(in->head[0], encoding, server));
	if (in->len > max)
		return err_new(ERR_EXHAUSTED,
			"grpc: received message larger than max (%zu vs. %zu)", in->len, max);
	/* Memory follows the bytes that came, not the length that was announced. */
	in->cap = MIN(in->len, FIRST_CAP);
	in->msg = rpc_msg_new(in->cap);
	return NULL;
}

static void add_bytes(struct h2_in *in, const uint8_t *data, size_t n)
{
	if (in->got + n > in->cap) {
		in->cap = MIN(in->len, MAX(in->cap * 2, in->got + n));
		in->msg = xrealloc(in->msg, sizeof(*in->msg) + in->cap);
		list_init(&in->msg->node);
	}
	memcpy(in->msg->data + in->got, data, n);
	in->got += n;
}

struct err *h2_in_feed(struct h2_in *in, const uint8_t **data, size_t *len, size_t max,
	const char *encoding, bool server, struct rpc_msg **ret)
{
	size_t n;

	*ret = NULL;
	while (*len && in->n_head < GRPC_PREFIX) {
		in->head[in->n_head++] = *(*data)++;
		--*len;
		if (in->n_head == GRPC_PREFIX)
			TRY(start_message(in, max, encoding, server));
	}
	if (in->n_head < GRPC_PREFIX)
		return NULL;
	n = MIN(*len, in->len - in->got);
	if (n)
		add_bytes(in, *data, n);
	*data += n;
	*len -= n;
	if (in->got < in->len)
		return NULL;
	in->msg->len = in->len;
	in->n_head = 0;
	*ret = TAKE(in->msg);
	return NULL;
}
