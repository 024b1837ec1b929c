// SPDX-License-Identifier: Apache-2.0
#include "archive/tar-reader.h"

#include <inttypes.h>
#include <string.h>

#include "archive/tar-format.h"
#include "archive/tar-numbers.h"
#include "archive/tar-pax.h"
#include "base/alloc.h"
#include "base/buf.h"

#define PRINTABLE_BYTES 256

enum tar_flavour { FLAVOUR_V7, FLAVOUR_USTAR, FLAVOUR_STAR, FLAVOUR_GNU };

struct tar_reader {
	tar_source_fn source;
	void *arg;
	const uint8_t *piece; /* input that is not used yet */
	size_t piece_len;
	bool eof;   /* of the input */
	int64_t at; /* bytes used so far, for messages */
	uint8_t block[TAR_BLOCK_BYTES];

	/* Extended headers in front of an entry. */
	struct buf pax_text, long_name, long_link;
	struct tar_pax pax;
	bool extended; /* any of them was there */

	struct tar_entry entry;
	char name[TAR_PATH_MAX], link[TAR_PATH_MAX];
	int64_t left;	/* stored bytes of the entry that are not read yet */
	size_t padding; /* behind them */
	int64_t done;	/* offset of the next piece, for files without holes */
	struct tar_extents extents;
	size_t extent;	     /* the one under way */
	int64_t extent_done; /* bytes of it */
};

char *tar_printable(const char *name)
{
	struct buf b = BUF_INIT(PRINTABLE_BYTES + 8);
	bool all = true;

	for (const uint8_t *p = (const uint8_t *)name; *p && all; p++) {
		if (b.len >= PRINTABLE_BYTES)
			all = !buf_append(&b, "...", 3);
		else if (*p < 0x20 || *p >= 0x7f || *p == '"' || *p == '\\')
			all = buf_printf(&b, "\\x%02x", *p);
		else
			all = buf_append(&b, p, 1);
	}
	return buf_take(&b, NULL);
}

struct tar_reader *tar_reader_new(tar_source_fn source, void *arg)
{
	struct tar_reader *r = NEW(struct tar_reader);

	r->source = source;
	r->arg = arg;
	r->pax_text = BUF_INIT(TAR_HEADER_MAX);
	r->long_name = BUF_INIT(TAR_HEADER_MAX);
	r->long_link = BUF_INIT(TAR_HEADER_MAX);
	return r;
}

void tar_reader_free(struct tar_reader *r)
{
	if (!r)
		return;
	buf_done(&r->pax_text);
	buf_done(&r->long_name);
	buf_done(&r->long_link);
	tar_pax_done(&r->pax);
	free(r->extents.items);
	free(r);
}

static struct err *ends_early(void)
{
	return err_new(ERR_INVALID, "the archive ends early");
}

static struct err *bad_header(const struct tar_reader *r, const char *what)
{
	return err_new(ERR_INVALID, "invalid tar header at byte %" PRId64 ": %s",
		r->at - (int64_t)TAR_BLOCK_BYTES, what);
}

/* An error that belongs to the entry under way. */
static struct err *in_entry(const struct tar_reader *r, struct err *take_e)
{
	autofree char *name = take_e ? tar_printable(r->name) : NULL;

	return err_wrap(take_e, "entry \"%s\"", name);
}

/* Makes sure that there is input under the reader, unless it is at its end. */
static struct err *want_piece(struct tar_reader *r)
{
	if (r->piece_len || r->eof)
		return NULL;
	TRY(r->source(r->arg, &r->piece, &r->piece_len));
	r->eof = r->piece_len == 0;
	return NULL;
}

static void use(struct tar_reader *r, size_t n)
{
	r->piece += n;
	r->piece_len -= n;
	r->at += (int64_t)n;
}

/* Fewer bytes only at the end of the input. */
static struct err *read_bytes(struct tar_reader *r, void *to, size_t len, size_t *ret_len)
{
	size_t total = 0;

	while (total < len) {
		size_t n;

		TRY(want_piece(r));
		n = MIN(r->piece_len, len - total);
		if (n == 0)
			break;
		memcpy((uint8_t *)to + total, r->piece, n);
		use(r, n);
		total += n;
	}
	*ret_len = total;
	return NULL;
}

static struct err *read_block(struct tar_reader *r, bool *ret_end)
{
	size_t n;

	TRY(read_bytes(r, r->block, TAR_BLOCK_BYTES, &n));
	if (n > 0 && n < TAR_BLOCK_BYTES)
		return ends_early();
	*ret_end = n == 0;
	return NULL;
}

static struct err *skip(struct tar_reader *r, int64_t len)
{
	while (len > 0) {
		size_t n;

		TRY(want_piece(r));
		if (r->eof)
			return ends_early();
		n = (int64_t)r->piece_len < len ? r->piece_len : (size_t)len;
		use(r, n);
		len -= (int64_t)n;
	}
	return NULL;
}

static size_t padding_of(int64_t size)
{
	return (TAR_BLOCK_BYTES - (size_t)(size % (int64_t)TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
}

/* The padding may be missing at the very end. */
static struct err *skip_padding(struct tar_reader *r, size_t len)
{
	uint8_t pad[TAR_BLOCK_BYTES];
	size_t n;

	return read_bytes(r, pad, len, &n);
}

/* The body of an extended header, NUL-terminated. */
static struct err *read_body(struct tar_reader *r, int64_t size, struct buf *to)
{
	size_t n;

	buf_reset(to);
	if ((uint64_t)size >= TAR_HEADER_MAX || !buf_reserve(to, (size_t)size + 1))
		return bad_header(r, "extended header larger than 1 MiB");
	TRY(read_bytes(r, to->data, (size_t)size, &n));
	if (n < (size_t)size)
		return ends_early();
	to->len = n;
	to->data[n] = '\0';
	r->extended = true;
	return skip_padding(r, padding_of(size));
}

static enum tar_flavour flavour_of(const struct tar_header *h)
{
	if (memcmp(h->magic, "ustar\0", 6) == 0)
		return memcmp((const char *)h + 508, "tar\0", 4) == 0 ? FLAVOUR_STAR
								      : FLAVOUR_USTAR;
	return memcmp(h->magic, "ustar ", 6) == 0 && memcmp(h->version, " \0", 2) == 0 ? FLAVOUR_GNU
										       : FLAVOUR_V7;
}

/* A path that does not fit is cut for the message and refused. */
static struct err *set_path(struct tar_reader *r, char *to, const char *prefix, size_t prefix_len,
	const char *text, size_t len)
{
	size_t slash = prefix_len > 0;
	bool fits = prefix_len + slash + len < TAR_PATH_MAX;

	len = MIN(len, TAR_PATH_MAX - 1 - prefix_len - slash);
	memcpy(to, prefix, prefix_len);
	if (slash)
		to[prefix_len] = '/';
	memcpy(to + prefix_len + slash, text, len);
	to[prefix_len + slash + len] = '\0';
	return fits ? NULL : err_new(ERR_INVALID, "path longer than %d bytes", TAR_PATH_MAX - 1);
}

/* Some writers of the GNU flavour put a prefix where the access time belongs. */
static size_t gnu_prefix_len(const struct tar_header *h)
{
	const struct tar_gnu_header *g = (const struct tar_gnu_header *)h;
	size_t n = strnlen(h->prefix, sizeof(h->prefix));
	int64_t t;

	if (n == 0 || tar_number(g->atime, sizeof(g->atime), &t))
		return 0;
	for (size_t i = 0; i < n; i++)
		if (h->prefix[i] & 0x80)
			return 0;
	return n;
}

static size_t prefix_len(const struct tar_header *h)
{
	switch (flavour_of(h)) {
	case FLAVOUR_USTAR:
		return strnlen(h->prefix, sizeof(h->prefix));
	case FLAVOUR_STAR:
		return strnlen(h->prefix, 131);
	case FLAVOUR_GNU:
		return gnu_prefix_len(h);
	default:
		return 0;
	}
}

static struct err *set_names(struct tar_reader *r, const struct tar_header *h)
{
	const struct tar_pax *p = &r->pax;
	const char *name = p->sparse_name ? p->sparse_name : p->path;
	const char *link = p->link;
	struct err *e;

	if (r->long_name.len)
		name = buf_str(&r->long_name);
	if (r->long_link.len)
		link = buf_str(&r->long_link);
	if (name)
		e = set_path(r, r->name, "", 0, name, strlen(name));
	else
		e = set_path(r, r->name, h->prefix, prefix_len(h), h->name,
			strnlen(h->name, sizeof(h->name)));
	if (e)
		return in_entry(r, e);
	if (link)
		e = set_path(r, r->link, "", 0, link, strlen(link));
	else
		e = set_path(r, r->link, "", 0, h->link, strnlen(h->link, sizeof(h->link)));
	r->entry.name = r->name;
	r->entry.link = r->link;
	return in_entry(r, e);
}

static struct err *set_numbers(struct tar_reader *r, const struct tar_header *h)
{
	const struct tar_pax *p = &r->pax;
	struct tar_entry *t = &r->entry;
	bool ok = tar_number(h->mode, sizeof(h->mode), &t->mode) &&
		  tar_number(h->uid, sizeof(h->uid), &t->uid) &&
		  tar_number(h->gid, sizeof(h->gid), &t->gid) &&
		  tar_number(h->size, sizeof(h->size), &t->size) &&
		  tar_number(h->mtime, sizeof(h->mtime), &t->mtime.sec);

	if (flavour_of(h) != FLAVOUR_V7)
		ok = ok && tar_number(h->dev_major, sizeof(h->dev_major), &t->dev_major) &&
		     tar_number(h->dev_minor, sizeof(h->dev_minor), &t->dev_minor);
	if (p->has_uid)
		t->uid = p->uid;
	if (p->has_gid)
		t->gid = p->gid;
	if (p->has_size)
		t->size = p->size;
	if (p->has_mtime)
		t->mtime = p->mtime;
	if (p->has_atime)
		t->atime = p->atime;
	if (!ok || t->size < 0)
		return in_entry(r, err_new(ERR_INVALID, "invalid number in the tar header"));
	return NULL;
}

static struct err *set_type(struct tar_reader *r, char type)
{
	size_t len = strlen(r->name);

	switch (type) {
	case '\0': /* v7 has directories only by their slash */
		r->entry.type = len && r->name[len - 1] == '/' ? TAR_DIR : TAR_FILE;
		return NULL;
	case '0':
	case '7':
	case 'S':
		r->entry.type = TAR_FILE;
		return NULL;
	case '1':
		r->entry.type = TAR_HARDLINK;
		return NULL;
	case '2':
		r->entry.type = TAR_SYMLINK;
		return NULL;
	case '3':
		r->entry.type = TAR_CHAR_DEVICE;
		return NULL;
	case '4':
		r->entry.type = TAR_BLOCK_DEVICE;
		return NULL;
	case '5':
		r->entry.type = TAR_DIR;
		return NULL;
	case '6':
		r->entry.type = TAR_FIFO;
		return NULL;
	default:
		return in_entry(r, err_new(ERR_INVALID, "unhandled tar header type %u",
					   (unsigned)(uint8_t)type));
	}
}

static struct err *bad_sparse(void)
{
	return err_new(ERR_INVALID, "invalid sparse map");
}

static bool add_gnu_fields(struct tar_reader *r, const struct tar_sparse_field *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int64_t offset, length;

		if (f[i].offset[0] == '\0')
			break;
		if (!tar_number(f[i].offset, sizeof(f[i].offset), &offset) ||
			!tar_number(f[i].length, sizeof(f[i].length), &length) ||
			!tar_extents_add(&r->extents, offset, length))
			return false;
	}
	return true;
}

/* GNU's old format: the map is in the header, and in blocks between it and the data. */
static struct err *read_old_sparse(struct tar_reader *r)
{
	const struct tar_gnu_header *g = (const struct tar_gnu_header *)r->block;
	bool more = g->is_extended, end = false;
	int64_t real_size;

	if (!tar_number(g->real_size, sizeof(g->real_size), &real_size) || real_size < 0 ||
		!add_gnu_fields(r, g->sparse, ARRAY_LEN(g->sparse)))
		return bad_sparse();
	while (more) {
		const struct tar_gnu_sparse_block *b =
			(const struct tar_gnu_sparse_block *)r->block;

		TRY(read_block(r, &end));
		if (end)
			return ends_early();
		if (!add_gnu_fields(r, b->sparse, ARRAY_LEN(b->sparse)))
			return bad_sparse();
		more = b->is_extended;
	}
	r->entry.size = real_size;
	return NULL;
}

/* pax 0.1: "offset,length,offset,length". */
static struct err *parse_sparse_map(struct tar_reader *r, const char *map)
{
	while (*map) {
		int64_t n[2];

		for (int i = 0; i < 2; i++) {
			size_t len = strcspn(map, ",");

			if (!tar_decimal(map, len, &n[i]))
				return bad_sparse();
			map += len;
			if (*map == ',')
				map++;
		}
		if (!tar_extents_add(&r->extents, n[0], n[1]))
			return bad_sparse();
	}
	return NULL;
}

/* A number of the 1.0 map: decimal, up to a newline, in the blocks in front of the data. */
static struct err *read_map_number(struct tar_reader *r, size_t *pos, int64_t *ret)
{
	char digits[24];
	size_t n = 0;

	for (;;) {
		if (*pos == TAR_BLOCK_BYTES) {
			bool end = false;

			if (r->left < (int64_t)TAR_BLOCK_BYTES)
				return bad_sparse();
			TRY(read_block(r, &end));
			if (end)
				return ends_early();
			r->left -= (int64_t)TAR_BLOCK_BYTES;
			*pos = 0;
		}
		if (r->block[*pos] == '\n')
			break;
		if (n == sizeof(digits))
			return bad_sparse();
		digits[n++] = (char)r->block[(*pos)++];
	}
	(*pos)++;
	return tar_decimal(digits, n, ret) ? NULL : bad_sparse();
}

static struct err *read_new_sparse(struct tar_reader *r)
{
	size_t pos = TAR_BLOCK_BYTES;
	int64_t n;

	TRY(read_map_number(r, &pos, &n));
	if (n < 0 || n > TAR_EXTENTS_MAX)
		return bad_sparse();
	while (n-- > 0) {
		int64_t offset, length;

		TRY(read_map_number(r, &pos, &offset));
		TRY(read_map_number(r, &pos, &length));
		if (!tar_extents_add(&r->extents, offset, length))
			return bad_sparse();
	}
	return NULL;
}

static struct err *read_pax_sparse(struct tar_reader *r)
{
	const struct tar_pax *p = &r->pax;

	if (!p->has_real_size || p->real_size < 0)
		return bad_sparse();
	r->entry.size = p->real_size;
	if (p->sparse_major == 1 && p->sparse_minor == 0)
		return read_new_sparse(r);
	if (p->sparse_major != 0)
		return bad_sparse();
	if (p->sparse_map)
		return parse_sparse_map(r, p->sparse_map);
	for (size_t i = 0; i < p->sparse_pairs.n; i++)
		if (!tar_extents_add(&r->extents, p->sparse_pairs.items[i].offset,
			    p->sparse_pairs.items[i].length))
			return bad_sparse();
	return NULL;
}

static struct err *set_sparse(struct tar_reader *r, char type)
{
	r->entry.is_sparse = r->entry.type == TAR_FILE && (type == 'S' || r->pax.is_sparse);
	if (!r->entry.is_sparse)
		return NULL;
	TRY(in_entry(r, type == 'S' ? read_old_sparse(r) : read_pax_sparse(r)));
	if (!tar_extents_valid(&r->extents, r->entry.size, r->left))
		return in_entry(r, bad_sparse());
	return NULL;
}

static struct err *set_entry(struct tar_reader *r)
{
	const struct tar_header *h = (const struct tar_header *)r->block;
	char type = h->type;

	r->entry = (struct tar_entry){.xattrs = r->pax.xattrs, .n_xattrs = r->pax.n_xattrs};
	TRY(set_names(r, h));
	TRY(set_type(r, type));
	TRY(set_numbers(r, h));
	if (r->entry.type != TAR_FILE)
		r->entry.size = 0;
	r->left = r->entry.size;
	r->padding = padding_of(r->left);
	r->done = 0;
	r->extents.n = r->extent = 0;
	r->extent_done = 0;
	return set_sparse(r, type);
}

/* A header that describes the next one. *ret is false when the block is an entry. */
static struct err *read_extension(struct tar_reader *r, bool *ret)
{
	const struct tar_header *h = (const struct tar_header *)r->block;
	int64_t size;

	*ret = h->type && strchr("xgLK", h->type);
	if (!*ret)
		return NULL;
	if (!tar_number(h->size, sizeof(h->size), &size) || size < 0)
		return bad_header(r, "invalid size");
	switch (h->type) {
	case 'x':
		TRY(read_body(r, size, &r->pax_text));
		tar_pax_reset(&r->pax);
		return tar_pax_parse(&r->pax, (char *)r->pax_text.data, r->pax_text.len);
	case 'L':
		return read_body(r, size, &r->long_name);
	case 'K':
		return read_body(r, size, &r->long_link);
	default:
		TRY(skip(r, size));
		return skip_padding(r, padding_of(size));
	}
}

static bool is_zero(const uint8_t *block)
{
	return block[0] == 0 && memcmp(block, block + 1, TAR_BLOCK_BYTES - 1) == 0;
}

/* The next header block with a checksum; *ret_end at the end of the archive. */
static struct err *next_header(struct tar_reader *r, bool *ret_end)
{
	TRY(read_block(r, ret_end));
	if (*ret_end)
		return r->extended ? ends_early() : NULL;
	if (is_zero(r->block)) {
		TRY(read_block(r, ret_end));
		if (!*ret_end && !is_zero(r->block))
			return bad_header(r, "data behind the end of the archive");
		*ret_end = true;
		return NULL;
	}
	return tar_checksum_ok(r->block) ? NULL : bad_header(r, "wrong checksum");
}

struct err *tar_reader_next(struct tar_reader *r, const struct tar_entry **ret)
{
	bool end = false, is_extension = false;

	TRY(in_entry(r, skip(r, r->left)));
	TRY(skip_padding(r, r->padding));
	r->left = 0;
	r->padding = 0;
	r->extended = false;
	tar_pax_reset(&r->pax);
	buf_reset(&r->long_name);
	buf_reset(&r->long_link);
	do {
		TRY(next_header(r, &end));
		if (end) {
			*ret = NULL;
			return NULL;
		}
		TRY(read_extension(r, &is_extension));
	} while (is_extension);
	TRY(set_entry(r));
	*ret = &r->entry;
	return NULL;
}

/* Where the next stored byte belongs, and how many that follow belong behind it. */
static int64_t position(struct tar_reader *r, int64_t *ret_len)
{
	const struct tar_extent *x;

	if (!r->entry.is_sparse) {
		*ret_len = r->left;
		return r->done;
	}
	while (r->extent < r->extents.n && r->extent_done == r->extents.items[r->extent].length) {
		r->extent++;
		r->extent_done = 0;
	}
	if (r->extent == r->extents.n) {
		*ret_len = 0;
		return 0;
	}
	x = &r->extents.items[r->extent];
	*ret_len = x->length - r->extent_done;
	return x->offset + r->extent_done;
}

struct err *tar_reader_data(
	struct tar_reader *r, const uint8_t **ret, size_t *ret_len, int64_t *ret_offset)
{
	int64_t most;
	size_t n;

	*ret_offset = position(r, &most);
	*ret = NULL;
	*ret_len = 0;
	if (most == 0)
		return NULL;
	TRY(want_piece(r));
	if (r->eof)
		return ends_early();
	n = (int64_t)r->piece_len < most ? r->piece_len : (size_t)most;
	*ret = r->piece;
	*ret_len = n;
	use(r, n);
	r->left -= (int64_t)n;
	r->done += (int64_t)n;
	r->extent_done += (int64_t)n;
	return NULL;
}

struct err *tar_reader_drain(struct tar_reader *r)
{
	while (!r->eof) {
		use(r, r->piece_len);
		TRY(want_piece(r));
	}
	return NULL;
}
