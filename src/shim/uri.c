// SPDX-License-Identifier: Apache-2.0
#include "shim/uri.h"

#include <string.h>

#include "base/alloc.h"

#define URI_MAX 65536

static const struct {
	const char *prefix;
	enum uri_scheme scheme;
} schemes[] = {
	{"fifo://", URI_FIFO},
	{"file://", URI_FILE},
	{"binary://", URI_BINARY},
	{"binary-v2://", URI_BINARY_V2},
};

void uri_done(struct uri *u)
{
	free(u->path);
	strv_done(&u->args);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* NULL for a broken escape or one that hides a NUL. */
static char *decode(const char *text, size_t len, bool plus_is_space)
{
	autofree char *out = xmalloc(len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '+' && plus_is_space)
			c = ' ';
		if (c == '%') {
			int high;

			if (len - i < 3)
				return NULL;
			high = hex_digit(text[i + 1]);
			if (high < 0 || hex_digit(text[i + 2]) < 0)
				return NULL;
			c = (char)(high * 16 + hex_digit(text[i + 2]));
			i += 2;
		}
		if (!c)
			return NULL;
		out[n++] = c;
	}
	out[n] = '\0';
	return TAKE(out);
}

static bool has_key(const struct strv *args, const char *key)
{
	for (size_t i = 0; i + 1 < args->n; i += 2)
		if (str_eq(args->items[i], key))
			return true;
	return false;
}

static bool add_pair(struct strv *args, const char *pair, size_t len)
{
	const char *equals = memchr(pair, '=', len);
	size_t key_len = equals ? (size_t)(equals - pair) : len;
	autofree char *key = decode(pair, key_len, true);
	autofree char *value = equals ? decode(equals + 1, len - key_len - 1, true) : xstrdup("");

	if (!key || !value)
		return false;
	if (!len || has_key(args, key))
		return true;
	strv_add(args, key);
	strv_add(args, value);
	return true;
}

static bool parse_query(struct strv *args, const char *query)
{
	while (*query) {
		size_t len = strcspn(query, "&");

		if (!add_pair(args, query, len))
			return false;
		query += len + (query[len] == '&');
	}
	return true;
}

struct err *uri_parse(const char *text, struct uri *ret)
{
	autoval(uri) u = {.scheme = URI_FIFO};
	const char *rest = text;
	size_t path_len;

	if (strlen(text) > URI_MAX)
		return err_new(ERR_INVALID, "unable to parse stdout uri: too long");
	if (!strstr(text, "://")) { /* a bare path is taken as it stands */
		u.path = xstrdup(text);
		*ret = u;
		u = (struct uri){0};
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(schemes) && rest == text; i++) {
		if (!str_starts(text, schemes[i].prefix))
			continue;
		u.scheme = schemes[i].scheme;
		rest = text + strlen(schemes[i].prefix);
	}
	if (rest == text)
		return err_new(ERR_INVALID, "unknown STDIO scheme %.*s (of %s)",
			(int)(strstr(text, "://") - text), text, text);
	path_len = strcspn(rest, "?");
	u.path = decode(rest, path_len, false);
	if (!u.path || (rest[path_len] && !parse_query(&u.args, rest + path_len + 1)))
		return err_new(
			ERR_INVALID, "unable to parse stdout uri: invalid escape in %s", text);
	if (*u.path != '/')
		return err_new(ERR_INVALID, "stdio uri %s: the path is not absolute", text);
	*ret = u;
	u = (struct uri){0};
	return NULL;
}
