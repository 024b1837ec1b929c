// SPDX-License-Identifier: Apache-2.0
#include "archive/tar-writer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "archive/tar-format.h"
#include "base/alloc.h"
#include "base/buf.h"

#define OCTAL_8_MAX 07777777
#define OCTAL_12_MAX 077777777777

struct tar_writer {
	tar_sink_fn sink;
	void *arg;
	struct buf pax;
	int64_t left;	/* data bytes that the entry still wants */
	size_t padding; /* behind them */
};

static const uint8_t zeros[TAR_BLOCK_BYTES];

struct tar_writer *tar_writer_new(tar_sink_fn sink, void *arg)
{
	struct tar_writer *w = NEW(struct tar_writer);

	w->sink = sink;
	w->arg = arg;
	w->pax = BUF_INIT(4 * TAR_HEADER_MAX);
	return w;
}

void tar_writer_free(struct tar_writer *w)
{
	if (!w)
		return;
	buf_done(&w->pax);
	free(w);
}

static size_t padding_of(int64_t size)
{
	return (TAR_BLOCK_BYTES - (size_t)(size % (int64_t)TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
}

static size_t digits_of(size_t n)
{
	size_t digits = 1;

	while (n >= 10) {
		n /= 10;
		digits++;
	}
	return digits;
}

/* "LEN KEY=VALUE\n", where the length counts itself. */
static struct err *add_record(
	struct tar_writer *w, const char *prefix, const char *key, const void *value, size_t len)
{
	size_t rest = strlen(prefix) + strlen(key) + len + 3;
	size_t total = rest + digits_of(rest);

	if (digits_of(total) != digits_of(rest))
		total = rest + digits_of(total);
	if (!buf_printf(&w->pax, "%zu %s%s=", total, prefix, key) ||
		!buf_append(&w->pax, value, len) || !buf_append(&w->pax, "\n", 1))
		return err_new(ERR_INVALID, "extended header too large");
	return NULL;
}

static struct err *add_number(struct tar_writer *w, const char *key, int64_t value)
{
	autofree char *text = xasprintf("%" PRId64, value);

	return add_record(w, "", key, text, strlen(text));
}

static void put_octal(char *to, size_t size, int64_t value)
{
	to[size - 1] = '\0';
	for (size_t i = size - 1; i-- > 0; value >>= 3)
		to[i] = (char)('0' + (value & 7));
}

/* The number, or 0 and a pax record when it does not fit. */
static struct err *put_number(
	struct tar_writer *w, char *to, size_t size, const char *key, int64_t value)
{
	int64_t max = size == 12 ? OCTAL_12_MAX : OCTAL_8_MAX;
	bool fits = value >= 0 && value <= max;

	put_octal(to, size, fits ? value : 0);
	return fits ? NULL : add_number(w, key, value);
}

static bool is_ascii(const char *s)
{
	for (; *s; s++)
		if (*s & 0x80)
			return false;
	return true;
}

/* As much as fits, and all of it in a pax record when that is not everything. */
static struct err *put_text(
	struct tar_writer *w, char *to, size_t size, const char *key, const char *text)
{
	size_t len = strlen(text);

	memcpy(to, text, MIN(len, size));
	return len > size || !is_ascii(text) ? add_record(w, "", key, text, len) : NULL;
}

static void put_checksum(struct tar_header *h)
{
	const uint8_t *p = (const uint8_t *)h;
	unsigned sum = 0;

	memset(h->checksum, ' ', sizeof(h->checksum));
	for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
		sum += p[i];
	put_octal(h->checksum, 7, sum);
}

static void put_magic(struct tar_header *h, char type)
{
	h->type = type;
	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
}

/* The header of the pax records, named after the entry for readers that do not know them. */
static struct err *write_pax(struct tar_writer *w, const char *name)
{
	struct tar_header h = {0};
	size_t len = strlen(name);
	const char *base;

	if (w->pax.len == 0)
		return NULL;
	while (len > 0 && name[len - 1] == '/')
		len--;
	for (base = name + len; base > name && base[-1] != '/'; base--)
		;
	snprintf(h.name, sizeof(h.name), "PaxHeaders.0/%.*s",
		(int)MIN(len - (size_t)(base - name), (size_t)80), base);
	put_octal(h.mode, sizeof(h.mode), 0);
	put_octal(h.uid, sizeof(h.uid), 0);
	put_octal(h.gid, sizeof(h.gid), 0);
	put_octal(h.size, sizeof(h.size), (int64_t)w->pax.len);
	put_octal(h.mtime, sizeof(h.mtime), 0);
	put_magic(&h, 'x');
	put_checksum(&h);
	TRY(w->sink(w->arg, &h, sizeof(h)));
	TRY(w->sink(w->arg, w->pax.data, w->pax.len));
	return w->sink(w->arg, zeros, padding_of((int64_t)w->pax.len));
}

static char type_char(enum tar_type type)
{
	switch (type) {
	case TAR_HARDLINK:
		return '1';
	case TAR_SYMLINK:
		return '2';
	case TAR_CHAR_DEVICE:
		return '3';
	case TAR_BLOCK_DEVICE:
		return '4';
	case TAR_DIR:
		return '5';
	case TAR_FIFO:
		return '6';
	default:
		return '0';
	}
}

static struct err *fill_header(
	struct tar_writer *w, const struct tar_entry *e, struct tar_header *h, int64_t size)
{
	TRY(put_text(w, h->name, sizeof(h->name), "path", e->name));
	TRY(put_text(w, h->link, sizeof(h->link), "linkpath", e->link));
	put_octal(h->mode, sizeof(h->mode), e->mode & 07777);
	TRY(put_number(w, h->uid, sizeof(h->uid), "uid", e->uid));
	TRY(put_number(w, h->gid, sizeof(h->gid), "gid", e->gid));
	TRY(put_number(w, h->size, sizeof(h->size), "size", size));
	TRY(put_number(w, h->mtime, sizeof(h->mtime), "mtime", e->mtime.sec));
	put_octal(h->dev_major, sizeof(h->dev_major), e->dev_major);
	put_octal(h->dev_minor, sizeof(h->dev_minor), e->dev_minor);
	for (size_t i = 0; i < e->n_xattrs; i++)
		TRY(add_record(w, "SCHILY.xattr.", e->xattrs[i].name, e->xattrs[i].value,
			e->xattrs[i].len));
	return NULL;
}

struct err *tar_writer_entry(struct tar_writer *w, const struct tar_entry *entry)
{
	struct tar_header h = {0};

	assert(w->left == 0);
	w->left = entry->type == TAR_FILE ? entry->size : 0;
	w->padding = padding_of(w->left);
	buf_reset(&w->pax);
	put_magic(&h, type_char(entry->type));
	TRY(fill_header(w, entry, &h, w->left));
	put_checksum(&h);
	TRY(write_pax(w, entry->name));
	return w->sink(w->arg, &h, sizeof(h));
}

struct err *tar_writer_data(struct tar_writer *w, const void *data, size_t len)
{
	assert((int64_t)len <= w->left);
	if (len == 0)
		return NULL;
	TRY(w->sink(w->arg, data, len));
	w->left -= (int64_t)len;
	return w->left == 0 ? w->sink(w->arg, zeros, w->padding) : NULL;
}

struct err *tar_writer_finish(struct tar_writer *w)
{
	assert(w->left == 0);
	TRY(w->sink(w->arg, zeros, TAR_BLOCK_BYTES));
	return w->sink(w->arg, zeros, TAR_BLOCK_BYTES);
}
