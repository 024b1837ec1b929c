// SPDX-License-Identifier: Apache-2.0
#include "archive/tar-pax.h"

#include <string.h>

#include "archive/tar-numbers.h"
#include "base/alloc.h"
#include "base/strv.h"

#define XATTR_SCHILY "SCHILY.xattr."
#define XATTR_LIBARCHIVE "LIBARCHIVE.xattr."

void tar_pax_reset(struct tar_pax *p)
{
	struct tar_pax kept = {
		.xattrs = p->xattrs,
		.cap_xattrs = p->cap_xattrs,
		.sparse_pairs = {.items = p->sparse_pairs.items, .cap = p->sparse_pairs.cap},
	};

	*p = kept;
}

void tar_pax_done(struct tar_pax *p)
{
	free(p->xattrs);
	free(p->sparse_pairs.items);
}

bool tar_extents_add(struct tar_extents *x, int64_t offset, int64_t length)
{
	if (x->n >= TAR_EXTENTS_MAX)
		return false;
	GROW(x->items, x->n, x->cap);
	x->items[x->n++] = (struct tar_extent){offset, length};
	return true;
}

bool tar_extents_valid(const struct tar_extents *x, int64_t real_size, int64_t stored)
{
	int64_t at = 0, sum = 0;

	for (size_t i = 0; i < x->n; i++) {
		const struct tar_extent *e = &x->items[i];

		if (e->offset < at || e->length < 0 || e->length > real_size ||
			e->offset > real_size - e->length)
			return false;
		at = e->offset + e->length;
		sum += e->length;
	}
	return sum == stored;
}

static bool is_text(const char *value, size_t len)
{
	return !memchr(value, '\0', len);
}

static struct tar_xattr *find_xattr(const struct tar_pax *p, const char *name)
{
	for (size_t i = 0; i < p->n_xattrs; i++)
		if (str_eq(p->xattrs[i].name, name))
			return &p->xattrs[i];
	return NULL;
}

static bool add_xattr(struct tar_pax *p, const char *name, const char *value, size_t len)
{
	struct tar_xattr *x = find_xattr(p, name);

	if (!x) {
		if (p->n_xattrs >= TAR_XATTRS_MAX)
			return false;
		GROW(p->xattrs, p->n_xattrs, p->cap_xattrs);
		x = &p->xattrs[p->n_xattrs++];
	}
	*x = (struct tar_xattr){.name = name, .value = (const uint8_t *)value, .len = len};
	return true;
}

static int base64_digit(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* In place; libarchive leaves the padding out. False for anything that is not base64. */
static bool decode_base64(char *text, size_t len, size_t *ret_len)
{
	uint32_t bits = 0;
	unsigned n_bits = 0;
	size_t n = 0;

	while (len > 0 && text[len - 1] == '=')
		len--;
	for (size_t i = 0; i < len; i++) {
		int d = base64_digit(text[i]);

		if (d < 0)
			return false;
		bits = bits << 6 | (uint32_t)d;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			text[n++] = (char)(bits >> n_bits);
		}
	}
	*ret_len = n;
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void decode_percent(char *text)
{
	char *to = text;

	for (const char *p = text; *p; p++) {
		if (*p == '%' && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0) {
			*to++ = (char)(hex_digit(p[1]) << 4 | hex_digit(p[2]));
			p += 2;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
}

static bool libarchive_xattr(struct tar_pax *p, char *name, char *value, size_t len)
{
	size_t n;

	decode_percent(name);
	if (find_xattr(p, name))
		return true;
	return decode_base64(value, len, &n) && add_xattr(p, name, value, n);
}

static bool sparse_record(struct tar_pax *p, const char *key, char *value, size_t len)
{
	int64_t n;

	p->is_sparse = true;
	if (str_eq(key, "name")) {
		p->sparse_name = value;
		return is_text(value, len);
	}
	if (str_eq(key, "map")) {
		p->sparse_map = value;
		return is_text(value, len);
	}
	if (!tar_decimal(value, len, &n))
		return false;
	if (str_eq(key, "major")) {
		p->sparse_major = n;
	} else if (str_eq(key, "minor")) {
		p->sparse_minor = n;
	} else if (str_eq(key, "realsize") || str_eq(key, "size")) {
		p->has_real_size = true;
		p->real_size = n;
	} else if (str_eq(key, "offset")) {
		if (p->has_sparse_offset || !tar_extents_add(&p->sparse_pairs, n, 0))
			return false;
		p->has_sparse_offset = true;
	} else if (str_eq(key, "numbytes")) {
		if (!p->has_sparse_offset)
			return false;
		p->sparse_pairs.items[p->sparse_pairs.n - 1].length = n;
		p->has_sparse_offset = false;
	}
	return true;
}

static bool number_record(bool *has, int64_t *to, const char *value, size_t len)
{
	*has = len > 0;
	return len == 0 || tar_decimal(value, len, to);
}

static bool time_record(bool *has, struct timestamp *to, const char *value, size_t len)
{
	*has = len > 0;
	return len == 0 || tar_time(value, len, to);
}

/* An empty value takes back what was given before. */
static bool text_record(const char **to, const char *value, size_t len)
{
	*to = len > 0 ? value : NULL;
	return is_text(value, len);
}

static bool record(struct tar_pax *p, char *key, char *value, size_t len)
{
	if (str_eq(key, "path"))
		return text_record(&p->path, value, len);
	if (str_eq(key, "linkpath"))
		return text_record(&p->link, value, len);
	if (str_eq(key, "size"))
		return number_record(&p->has_size, &p->size, value, len);
	if (str_eq(key, "uid"))
		return number_record(&p->has_uid, &p->uid, value, len);
	if (str_eq(key, "gid"))
		return number_record(&p->has_gid, &p->gid, value, len);
	if (str_eq(key, "mtime"))
		return time_record(&p->has_mtime, &p->mtime, value, len);
	if (str_eq(key, "atime"))
		return time_record(&p->has_atime, &p->atime, value, len);
	if (str_starts(key, XATTR_SCHILY))
		return add_xattr(p, key + strlen(XATTR_SCHILY), value, len);
	if (str_starts(key, XATTR_LIBARCHIVE))
		return libarchive_xattr(p, key + strlen(XATTR_LIBARCHIVE), value, len);
	if (str_starts(key, "GNU.sparse."))
		return sparse_record(p, key + strlen("GNU.sparse."), value, len);
	return true;
}

struct err *tar_pax_parse(struct tar_pax *p, char *text, size_t len)
{
	size_t at = 0;

	while (at < len) {
		char *space = memchr(text + at, ' ', MIN(len - at, (size_t)20));
		char *equals, *end;
		int64_t n;

		/* The length counts itself, the blank, and the newline at the end. */
		if (!space || !tar_decimal(text + at, (size_t)(space - text) - at, &n) || n < 5 ||
			n > (int64_t)(len - at) || text[at + (size_t)n - 1] != '\n')
			return err_new(ERR_INVALID, "malformed pax record");
		end = text + at + n - 1;
		equals = space < end ? memchr(space + 1, '=', (size_t)(end - space - 1)) : NULL;
		if (!equals || equals == space + 1 ||
			!is_text(space + 1, (size_t)(equals - space - 1)))
			return err_new(ERR_INVALID, "malformed pax record");
		*equals = '\0';
		*end = '\0';
		if (!record(p, space + 1, equals + 1, (size_t)(end - equals - 1))) {
			autofree char *key = tar_printable(space + 1);

			return err_new(ERR_INVALID, "invalid pax record %s", key);
		}
		at += (size_t)n;
	}
	if (p->has_sparse_offset)
		return err_new(ERR_INVALID, "invalid pax record GNU.sparse.offset");
	return NULL;
}
