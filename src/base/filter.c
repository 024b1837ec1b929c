// SPDX-License-Identifier: Apache-2.0
#include "base/filter.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/re.h"
#include "base/strv.h"
#include "base/utf8.h"

enum operator{ OP_PRESENT, OP_EQUAL, OP_NOT_EQUAL, OP_MATCHES };

struct selector {
	struct strv path;
	enum operator op;
	char *value;
	struct re *re; /* NULL: the pattern is malformed and matches nothing */
};

/* One expression: all of its selectors must match. Without any it matches everything. */
struct conjunction {
	struct selector *selectors;
	size_t n, cap;
};

struct filter {
	struct conjunction *any;
	size_t n;
};

static void conjunction_done(struct conjunction *c)
{
	for (size_t i = 0; i < c->n; i++) {
		strv_done(&c->selectors[i].path);
		free(c->selectors[i].value);
		re_free(c->selectors[i].re);
	}
	free(c->selectors);
}

void filter_free(struct filter *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++)
		conjunction_done(&f->any[i]);
	free(f->any);
	free(f);
}

/* --- scanner --- */

enum token {
	TOKEN_EOF,
	TOKEN_QUOTED,
	TOKEN_VALUE,
	TOKEN_FIELD,
	TOKEN_SEPARATOR,
	TOKEN_OPERATOR,
	TOKEN_ILLEGAL,
	TOKEN_OTHER,
};

#define RUNE_EOF (-1)
#define RUNE_ILLEGAL (-2)
#define REPLACEMENT 0xfffd

struct scanner {
	const char *input;
	size_t len;
	size_t pos, next;  /* the bounds of the rune read last */
	bool value;	   /* behind an operator */
	const char *error; /* the first one */
};

static void scan_error(struct scanner *s, const char *why)
{
	if (!s->error)
		s->error = why;
}

static int32_t decode(const char *p, size_t left, size_t *ret_len)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t n = u[0] < 0x80 ? 1 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
	int32_t rune = n == 1 ? u[0] : u[0] & (0x7f >> n);

	*ret_len = 1;
	if (n > left || !utf8_valid(p, n))
		return REPLACEMENT;
	for (size_t i = 1; i < n; i++)
		rune = rune << 6 | (u[i] & 0x3f);
	*ret_len = n;
	return rune;
}

static int32_t next_rune(struct scanner *s)
{
	size_t len;
	int32_t rune;

	if (s->pos >= s->len)
		return RUNE_EOF;
	s->pos = s->next;
	if (s->pos >= s->len)
		return RUNE_EOF;
	rune = decode(s->input + s->pos, s->len - s->pos, &len);
	s->next += len;
	if (rune == REPLACEMENT) {
		scan_error(s, "rune error");
		return RUNE_ILLEGAL;
	}
	return rune;
}

static int32_t peek_rune(struct scanner *s)
{
	struct scanner copy = *s;
	int32_t rune = next_rune(&copy);

	s->error = copy.error;
	return rune;
}

static bool is_space(int32_t r)
{
	return r == ' ' || (r >= '\t' && r <= '\r') || r == 0x85 || r == 0xa0 || r == 0x1680 ||
	       (r >= 0x2000 && r <= 0x200a) || r == 0x2028 || r == 0x2029 || r == 0x202f ||
	       r == 0x205f || r == 0x3000;
}

static bool is_field(int32_t r)
{
	return r == '_' || (r >= '0' && r <= '9') || (r >= 'A' && r <= 'Z') ||
	       (r >= 'a' && r <= 'z');
}

static bool is_operator(int32_t r)
{
	return r == '=' || r == '!' || r == '~';
}

static bool is_quote(int32_t r)
{
	return r == '/' || r == '|' || r == '"';
}

/* What prints: not controls, formats and private use. Code points that are not assigned count as
 * printing, so that no table of Unicode is needed. */
static bool is_value(int32_t r)
{
	static const struct {
		int32_t low, high;
	} hidden[] = {{0, 0x20}, {0x7f, 0xa0}, {0xad, 0xad}, {0x600, 0x605}, {0x61c, 0x61c},
		{0x6dd, 0x6dd}, {0x70f, 0x70f}, {0x180e, 0x180e}, {0x200b, 0x200f},
		{0x202a, 0x202e}, {0x2060, 0x206f}, {0xe000, 0xf8ff}, {0xfeff, 0xfeff},
		{0xfff0, 0xfffb}, {0xe0000, 0x10ffff}};

	if (r < 0 || r == ',' || is_space(r))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
		if (r >= hidden[i].low && r <= hidden[i].high)
			return false;
	return true;
}

static unsigned digit_value(int32_t r)
{
	if (r >= '0' && r <= '9')
		return (unsigned)(r - '0');
	if (r >= 'a' && r <= 'f')
		return (unsigned)(r - 'a') + 10;
	if (r >= 'A' && r <= 'F')
		return (unsigned)(r - 'A') + 10;
	return 16;
}

/* Returns the rune behind the digits. */
static int32_t scan_digits(struct scanner *s, int32_t r, unsigned base, unsigned n, bool *ret_legal)
{
	for (; n > 0 && digit_value(r) < base; n--)
		r = next_rune(s);
	*ret_legal = n == 0;
	if (n > 0)
		scan_error(s, "illegal numeric escape sequence");
	return r;
}

static int32_t scan_escape(struct scanner *s, int32_t quote, bool *ret_legal)
{
	int32_t r = next_rune(s);

	*ret_legal = true;
	if (r == quote || (r > 0 && r < 0x80 && strchr("abfnrtv\\", (char)r)))
		return next_rune(s);
	if (r >= '0' && r <= '7')
		return scan_digits(s, r, 8, 3, ret_legal);
	if (r == 'x' || r == 'u' || r == 'U')
		return scan_digits(s, next_rune(s), 16, r == 'x' ? 2 : r == 'u' ? 4 : 8, ret_legal);
	*ret_legal = false;
	scan_error(s, "illegal escape sequence");
	return r;
}

static bool scan_quoted(struct scanner *s, int32_t quote)
{
	bool all_legal = true;
	int32_t r = next_rune(s);

	while (r != quote) {
		bool legal = true;

		if (r == '\n' || r < 0) {
			scan_error(s, "quoted literal not terminated");
			return false;
		}
		r = r == '\\' ? scan_escape(s, quote, &legal) : next_rune(s);
		all_legal = all_legal && legal;
	}
	return all_legal;
}

static void skip_while(struct scanner *s, bool (*is)(int32_t r))
{
	while (is(peek_rune(s)))
		(void)next_rune(s);
}

/* The kind of the next token; its text is input[*ret_pos .. s->next). */
static enum token scan(struct scanner *s, size_t *ret_pos)
{
	int32_t r = next_rune(s);

	while (r >= 0 && is_space(r))
		r = next_rune(s);
	*ret_pos = s->pos;
	if (r < 0)
		return r == RUNE_EOF ? TOKEN_EOF : TOKEN_ILLEGAL;
	if (is_quote(r))
		return scan_quoted(s, r) ? TOKEN_QUOTED : TOKEN_ILLEGAL;
	if (r == ',' || r == '.') {
		s->value = false;
		return TOKEN_SEPARATOR;
	}
	if (is_operator(r)) {
		skip_while(s, is_operator);
		s->value = true;
		return TOKEN_OPERATOR;
	}
	if (s->value) {
		skip_while(s, is_value);
		s->value = false;
		return TOKEN_VALUE;
	}
	if (!is_field(r))
		return TOKEN_OTHER;
	skip_while(s, is_field);
	return TOKEN_FIELD;
}

/* --- unquoting, by Go's rules for string literals --- */

static bool put_rune(struct buf *to, uint32_t r)
{
	char c[4];
	size_t n;

	if (r > 0x10ffff || (r >= 0xd800 && r <= 0xdfff))
		r = REPLACEMENT;
	n = r < 0x80 ? 1 : r < 0x800 ? 2 : r < 0x10000 ? 3 : 4;
	for (size_t i = n; i-- > 1; r >>= 6)
		c[i] = (char)(0x80 | (r & 0x3f));
	c[0] = (char)(n == 1 ? r : r | (0xf00u >> n & 0xff));
	return buf_append(to, c, n);
}

static bool put_byte(struct buf *to, unsigned c)
{
	return buf_append(to, &(char){(char)c}, 1);
}

/* The number behind \x, \u, \U or of three octal digits; returns the digits used, 0 for none. */
static size_t unquote_number(const char *s, size_t left, char kind, uint32_t *ret)
{
	size_t n = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 3;
	unsigned base = n == 3 ? 8 : 16;
	uint32_t v = 0;

	if (left < n)
		return 0;
	for (size_t i = 0; i < n; i++) {
		unsigned d = digit_value((unsigned char)s[i]);

		if (d >= base || v > 0x10ffff)
			return 0;
		v = v * base + d;
	}
	*ret = v;
	return v > (base == 8 ? 255u : 0x10ffffu) ? 0 : n;
}

/* One escape at s (behind the backslash); returns its length, 0 when malformed. */
static size_t unquote_escape(const char *s, size_t left, char quote, struct buf *to)
{
	static const char from[] = "abfnrtv\\", meaning[] = "\a\b\f\n\r\t\v\\";
	const char *known = left && *s ? strchr(from, *s) : NULL;
	uint32_t v = 0;
	size_t n;

	if (known)
		return put_byte(to, (unsigned char)meaning[known - from]) ? 1 : 0;
	if (left == 0 || (is_quote(*s) && *s != quote))
		return 0;
	if (*s == quote)
		return put_byte(to, (unsigned char)quote) ? 1 : 0;
	if (*s >= '0' && *s <= '7') {
		n = unquote_number(s, left, '0', &v);
		return n && put_byte(to, v) ? n : 0;
	}
	if (*s != 'x' && *s != 'u' && *s != 'U')
		return 0;
	n = unquote_number(s + 1, left - 1, *s, &v);
	if (!n || !(*s == 'x' ? put_byte(to, v) : put_rune(to, v)))
		return 0;
	return n + 1;
}

/* The text between the quotes, or NULL. An escaped NUL would cut the C string: malformed. */
static char *unquote(const char *s, size_t len)
{
	autoval(buf) to = BUF_INIT(2 * len + 8);
	char quote = s[0];

	if (len < 2 || s[len - 1] != quote || memchr(s, '\n', len))
		return NULL;
	for (size_t i = 1; i < len - 1;) {
		size_t used = 1;

		if (s[i] == quote)
			return NULL;
		if (s[i] == '\\') {
			used = unquote_escape(s + i + 1, len - 2 - i, quote, &to);
			if (used++ == 0)
				return NULL;
		} else if (!put_byte(&to, (unsigned char)s[i])) {
			return NULL;
		}
		i += used;
	}
	return memchr(buf_str(&to), '\0', to.len) ? NULL : buf_take(&to, &(size_t){0});
}

/* --- parser --- */

static struct err *parse_error(const struct scanner *s, size_t pos, const char *fmt, ...)
	PRINTF(3, 4);

static struct err *parse_error(const struct scanner *s, size_t pos, const char *fmt, ...)
{
	autofree char *why = NULL;
	va_list ap;

	va_start(ap, fmt);
	why = xvasprintf(fmt, ap);
	va_end(ap);
	if (pos >= s->len)
		return err_new(ERR_INVALID, "filters: parse error: [%s]: %s: invalid argument",
			s->input, why);
	return err_new(ERR_INVALID, "filters: parse error: [%.*s >|%c|< %s]: %s: invalid argument",
		(int)pos, s->input, s->input[pos], s->input + pos + 1, why);
}

static struct err *take_quoted(struct scanner *s, size_t pos, bool any_quote, char **ret)
{
	if (!any_quote && s->input[pos] != '"')
		return parse_error(s, pos, "invalid quote encountered");
	*ret = unquote(s->input + pos, s->next - pos);
	return *ret ? NULL : parse_error(s, pos, "unquoting failed: quote syntax error");
}

static struct err *parse_field(struct scanner *s, struct strv *path)
{
	char *text = NULL;
	size_t pos;

	switch (scan(s, &pos)) {
	case TOKEN_FIELD:
		strv_add_take(path, xstrndup(s->input + pos, s->next - pos));
		return NULL;
	case TOKEN_QUOTED:
		TRY(take_quoted(s, pos, false, &text));
		strv_add_take(path, text);
		return NULL;
	case TOKEN_ILLEGAL:
		return parse_error(s, pos, "%s", s->error);
	default:
		return parse_error(s, pos, "expected field or quoted");
	}
}

static struct err *parse_path(struct scanner *s, struct strv *path)
{
	size_t pos;

	TRY(parse_field(s, path));
	while (peek_rune(s) == '.') {
		(void)scan(s, &pos);
		TRY(parse_field(s, path));
	}
	return NULL;
}

static struct err *parse_operator(struct scanner *s, enum operator* ret)
{
	static const char *const texts[] = {
		[OP_EQUAL] = "==", [OP_NOT_EQUAL] = "!=", [OP_MATCHES] = "~="};
	size_t pos;
	enum token token = scan(s, &pos);

	if (token == TOKEN_ILLEGAL)
		return parse_error(s, pos, "%s", s->error);
	if (token != TOKEN_OPERATOR)
		return parse_error(s, pos, "expected an operator (\"==\"|\"!=\"|\"~=\")");
	for (*ret = OP_EQUAL; *ret <= OP_MATCHES; (*ret)++)
		if (s->next - pos == 2 && strncmp(s->input + pos, texts[*ret], 2) == 0)
			return NULL;
	return parse_error(
		s, pos, "unsupported operator \"%.*s\"", (int)(s->next - pos), s->input + pos);
}

static struct err *parse_value(struct scanner *s, bool any_quote, char **ret)
{
	size_t pos;

	switch (scan(s, &pos)) {
	case TOKEN_VALUE:
	case TOKEN_FIELD:
		*ret = xstrndup(s->input + pos, s->next - pos);
		return NULL;
	case TOKEN_QUOTED:
		return take_quoted(s, pos, any_quote, ret);
	case TOKEN_ILLEGAL:
		return parse_error(s, pos, "%s", s->error);
	default:
		return parse_error(s, pos, "expected value or quoted");
	}
}

/* A malformed pattern is no error of the request in containerd: it matches nothing. */
static void compile(struct selector *to)
{
	autoptr(err) e = re_compile(to->value, &to->re);

	if (e)
		log_debug("filter never matches", "pattern", to->value, "error", err_message(e));
}

static struct err *parse_selector(struct scanner *s, struct selector *to)
{
	int32_t r;

	TRY(parse_path(s, &to->path));
	r = peek_rune(s);
	if (r == ',' || r == RUNE_EOF)
		return NULL;
	TRY(parse_operator(s, &to->op));
	TRY(parse_value(s, to->op == OP_MATCHES, &to->value));
	if (to->op == OP_MATCHES)
		compile(to);
	return NULL;
}

static struct err *parse_selectors(struct scanner *s, struct conjunction *to)
{
	for (;;) {
		size_t start, len;
		int32_t r;

		GROW(to->selectors, to->n, to->cap);
		to->selectors[to->n] = (struct selector){.op = OP_PRESENT};
		TRY(parse_selector(s, &to->selectors[to->n++]));
		r = peek_rune(s);
		if (r == RUNE_EOF)
			return NULL;
		if (r == ',') {
			(void)scan(s, &start);
			continue;
		}
		if (r == RUNE_ILLEGAL)
			return parse_error(s, s->next, "unexpected input: \uFFFD");
		(void)decode(s->input + s->next, s->len - s->next, &len);
		return parse_error(
			s, s->next, "unexpected input: %.*s", (int)len, s->input + s->next);
	}
}

struct err *filter_parse(char *const *exprs, size_t n, struct filter **ret)
{
	autoptr(filter) f = NEW(struct filter);
	size_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += strlen(exprs[i]);
	if (total > FILTER_TEXT_MAX || n > FILTER_TEXT_MAX)
		return err_new(ERR_INVALID,
			"filters: %zu bytes are more than the %d allowed: invalid argument", total,
			FILTER_TEXT_MAX);
	f->any = xcalloc(n ? n : 1, sizeof(*f->any));
	for (size_t i = 0; i < n; i++) {
		struct scanner s = {.input = exprs[i], .len = strlen(exprs[i])};

		f->n++;
		if (s.len > 0)
			TRY(parse_selectors(&s, &f->any[i]));
	}
	*ret = TAKE(f);
	return NULL;
}

/* --- matching --- */

static bool selector_match(const struct selector *s, filter_field_fn field, void *object)
{
	bool present = false;
	const char *value = field(object, s->path.items, s->path.n, &present);

	value = value ?: "";
	switch (s->op) {
	case OP_PRESENT:
		return present;
	case OP_EQUAL:
		return present && strcmp(value, s->value) == 0;
	case OP_NOT_EQUAL:
		return strcmp(value, s->value) != 0;
	case OP_MATCHES:
		return s->re && re_match(s->re, value);
	}
	return false;
}

static bool conjunction_match(const struct conjunction *c, filter_field_fn field, void *object)
{
	for (size_t i = 0; i < c->n; i++)
		if (!selector_match(&c->selectors[i], field, object))
			return false;
	return true;
}

bool filter_match(const struct filter *f, filter_field_fn field, void *object)
{
	for (size_t i = 0; i < f->n; i++)
		if (conjunction_match(&f->any[i], field, object))
			return true;
	return f->n == 0;
}
