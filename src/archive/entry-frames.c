// SPDX-License-Identifier: Apache-2.0
/* Entries as frames: the parsing process at one end of a pipe, the trusting one at the other. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "archive/entries.h"
#include "archive/tar-reader.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/strv.h"

#define FRAME_MAX ((size_t)256 * 1024) /* payload */
#define HEADER_BYTES 5

enum frame_kind {
	FRAME_FILE = 'f',    /* size (8 bytes), name */
	FRAME_DATA = 'd',    /* bytes */
	FRAME_SYMLINK = 's', /* name, NUL, target */
	FRAME_LINK = 'l',    /* likewise */
	FRAME_END = 'e',
	FRAME_ERROR = 'x', /* class (1 byte), message */
};

/* --- sending --- */

static int send_frame(int fd, enum frame_kind kind, const void *payload, size_t len)
{
	uint8_t header[HEADER_BYTES] = {(uint8_t)kind};
	uint32_t n = htole32((uint32_t)len);
	int r;

	memcpy(header + 1, &n, sizeof(n));
	r = write_full(fd, header, sizeof(header));
	return r < 0 || len == 0 ? r : write_full(fd, payload, len);
}

static struct err *sent(int r)
{
	return r < 0 ? err_sys(-r, "hand on an entry") : NULL;
}

static struct err *send_file(void *arg, const char *name, int64_t size)
{
	size_t len = strlen(name);
	autofree uint8_t *payload = xmalloc(sizeof(uint64_t) + len);
	uint64_t n = htole64((uint64_t)size);

	memcpy(payload, &n, sizeof(n));
	memcpy(payload + sizeof(n), name, len);
	return sent(send_frame(*(int *)arg, FRAME_FILE, payload, sizeof(n) + len));
}

static struct err *send_data(void *arg, const void *data, size_t len)
{
	for (size_t at = 0; at < len; at += MIN(len - at, FRAME_MAX))
		TRY(sent(send_frame(*(int *)arg, FRAME_DATA, (const uint8_t *)data + at,
			MIN(len - at, FRAME_MAX))));
	return NULL;
}

static struct err *send_file_end(void *arg)
{
	return NULL; /* the size says it */
}

static struct err *send_link(void *arg, const char *name, const char *target, bool is_symlink)
{
	size_t n = strlen(name) + 1, len = n + strlen(target);
	autofree char *payload = xmalloc(len + 1);

	memcpy(payload, name, n);
	memcpy(payload + n, target, len - n);
	return sent(send_frame(*(int *)arg, is_symlink ? FRAME_SYMLINK : FRAME_LINK, payload, len));
}

int entries_send_error(int fd, const struct err *e)
{
	const char *message = err_message(e);
	size_t len = MIN(strlen(message), FRAME_MAX - 1);
	autofree uint8_t *payload = xmalloc(len + 1);

	payload[0] = (uint8_t)err_class(e);
	memcpy(payload + 1, message, len);
	return send_frame(fd, FRAME_ERROR, payload, len + 1);
}

struct err *entries_send(codec_read_fn read, void *read_arg, int fd)
{
	static const struct entry_visitor to_frames = {
		send_file, send_data, send_file_end, send_link};
	struct err *e = entries_read(read, read_arg, &to_frames, &fd);

	if (!e)
		return sent(send_frame(fd, FRAME_END, NULL, 0));
	(void)entries_send_error(fd, e);
	return e;
}

/* --- receiving --- */

struct receiver {
	codec_read_fn read;
	void *read_arg;
	const struct entry_visitor *visitor;
	void *arg;
	uint8_t *payload; /* FRAME_MAX and a NUL */
	size_t len;
	size_t n_entries;
	int64_t missing; /* of the file under way */
	char *shown;	 /* its name */
};

static void receiver_done(struct receiver *r)
{
	free(r->payload);
	free(r->shown);
}
DEFINE_AUTOVAL(receiver, receiver_done);

static struct err *broken(void)
{
	return err_new(ERR_INTERNAL, "the reader of the archive broke off");
}

static struct err *read_exactly(struct receiver *r, void *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = r->read(r->read_arg, (uint8_t *)data + at, len - at);

		if (n < 0)
			return err_sys((int)-n, "read the entries of the archive");
		if (n == 0)
			return broken();
		at += (size_t)n;
	}
	return NULL;
}

static struct err *read_frame(struct receiver *r, enum frame_kind *ret)
{
	uint8_t header[HEADER_BYTES];
	uint32_t n;

	TRY(read_exactly(r, header, sizeof(header)));
	memcpy(&n, header + 1, sizeof(n));
	r->len = le32toh(n);
	if (r->len > FRAME_MAX)
		return broken();
	TRY(read_exactly(r, r->payload, r->len));
	r->payload[r->len] = '\0';
	*ret = (enum frame_kind)header[0];
	return NULL;
}

static struct err *end_file(struct receiver *r)
{
	return r->missing == 0 ? r->visitor->file_end(r->arg) : NULL;
}

static struct err *receive_file(struct receiver *r)
{
	uint64_t size;

	if (r->len < sizeof(size))
		return broken();
	memcpy(&size, r->payload, sizeof(size));
	size = le64toh(size);
	if (size > INT64_MAX)
		return broken();
	free(r->shown);
	r->shown = tar_printable((char *)r->payload + sizeof(size));
	r->missing = (int64_t)size;
	TRY(r->visitor->file(r->arg, (char *)r->payload + sizeof(size), r->missing));
	return end_file(r);
}

static struct err *receive_data(struct receiver *r)
{
	if (r->len == 0 || (uint64_t)r->len > (uint64_t)r->missing)
		return broken();
	r->missing -= (int64_t)r->len;
	TRY(r->visitor->data(r->arg, r->payload, r->len));
	return end_file(r);
}

static struct err *receive_link(struct receiver *r, bool is_symlink)
{
	const char *name = (char *)r->payload;
	size_t n = strlen(name);

	if (n == r->len)
		return broken();
	return r->visitor->link(r->arg, name, name + n + 1, is_symlink);
}

static struct err *receive_error(struct receiver *r)
{
	unsigned class = r->len ? r->payload[0] : 0;

	if (r->len == 0)
		return broken();
	return err_new(class > ERR_OK && class <= ERR_UNAUTHENTICATED ? (enum err_class) class
								      : ERR_UNKNOWN,
		"%s", (char *)r->payload + 1);
}

static struct err *receive_frame(struct receiver *r, enum frame_kind kind)
{
	if (kind == FRAME_ERROR)
		return receive_error(r);
	if (kind == FRAME_DATA)
		return err_wrap(receive_data(r), "failed to ingest \"%s\"", r->shown);
	if (r->missing)
		return broken();
	if (++r->n_entries > ENTRIES_MAX + 1)
		return err_new(ERR_EXHAUSTED, "more than %d entries", ENTRIES_MAX);
	switch (kind) {
	case FRAME_FILE:
		return err_wrap(receive_file(r), "failed to ingest \"%s\"", str_or(r->shown, ""));
	case FRAME_SYMLINK:
	case FRAME_LINK:
		return receive_link(r, kind == FRAME_SYMLINK);
	case FRAME_DATA:
	case FRAME_END:
	case FRAME_ERROR:
		break;
	}
	return kind == FRAME_END ? NULL : broken();
}

struct err *entries_receive(
	codec_read_fn read, void *read_arg, const struct entry_visitor *v, void *arg)
{
	autoval(receiver) r = {.read = read, .read_arg = read_arg, .visitor = v, .arg = arg};
	enum frame_kind kind = FRAME_ERROR;

	r.payload = xmalloc(FRAME_MAX + 1);
	do {
		TRY(read_frame(&r, &kind));
		TRY(receive_frame(&r, kind));
	} while (kind != FRAME_END);
	return NULL;
}
