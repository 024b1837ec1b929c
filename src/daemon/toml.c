// SPDX-License-Identifier: Apache-2.0
#include "daemon/toml.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/strv.h"
#include "base/utf8.h"

struct parser {
	const char *file;
	const char *at, *end;
	int line;
	int depth;
	struct toml *root;
	struct toml *table; /* the one that keys now go to */
};

static struct err *fail(const struct parser *p, const char *fmt, ...) PRINTF(2, 3);

static struct err *fail(const struct parser *p, const char *fmt, ...)
{
	autofree char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	return err_new(ERR_INVALID, "%s:%d: %s", p->file, p->line, text);
}

void toml_free(struct toml *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		toml_free(t->items[i]);
	free(t->items);
	free(t->key);
	free(t->text);
	free(t);
}

static struct toml *node_new(const struct parser *p, enum toml_type type)
{
	struct toml *t = NEW(struct toml);

	t->type = type;
	t->line = p->line;
	return t;
}

static void node_add(struct toml *to, struct toml *take_item)
{
	GROW(to->items, to->n, to->cap);
	to->items[to->n++] = take_item;
}

struct toml *toml_get(const struct toml *table, const char *key)
{
	if (!table || table->type != TOML_TABLE)
		return NULL;
	for (size_t i = 0; i < table->n; i++) {
		if (str_eq(table->items[i]->key, key))
			return table->items[i];
	}
	return NULL;
}

const char *toml_type_name(enum toml_type type)
{
	static const char *const names[] = {
		"a table", "an array", "a string", "an integer", "a float", "a boolean", "a date"};

	return names[type];
}

/* --- characters --- */

static char peek(const struct parser *p)
{
	return p->at < p->end ? *p->at : '\0';
}

static bool take(struct parser *p, char c)
{
	if (p->at >= p->end || *p->at != c)
		return false;
	p->at++;
	return true;
}

static bool looking_at(const struct parser *p, const char *s)
{
	size_t len = strlen(s);

	return (size_t)(p->end - p->at) >= len && memcmp(p->at, s, len) == 0;
}

static void skip_blanks(struct parser *p)
{
	while (peek(p) == ' ' || peek(p) == '\t')
		p->at++;
}

static bool take_newline(struct parser *p)
{
	if (looking_at(p, "\r\n"))
		p->at++;
	if (!take(p, '\n'))
		return false;
	p->line++;
	return true;
}

static struct err *skip_comment(struct parser *p)
{
	if (peek(p) != '#')
		return NULL;
	while (p->at < p->end && *p->at != '\n' && !looking_at(p, "\r\n")) {
		unsigned char c = (unsigned char)*p->at;

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return fail(p, "control character 0x%02x in a comment", c);
		p->at++;
	}
	return NULL;
}

/* Blanks, comments and line ends, as may stand between the elements of an array. */
static struct err *skip_space(struct parser *p)
{
	do {
		skip_blanks(p);
		TRY(skip_comment(p));
	} while (take_newline(p));
	return NULL;
}

static struct err *expect_line_end(struct parser *p)
{
	skip_blanks(p);
	TRY(skip_comment(p));
	if (p->at >= p->end || take_newline(p))
		return NULL;
	return fail(p, "expected the end of the line, found '%c'", *p->at);
}

/* --- strings --- */

static struct err *put_rune(struct parser *p, struct buf *b, uint32_t c)
{
	char utf8[4];
	size_t n;

	if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return fail(p, "U+%04X is not a character", c);
	if (c < 0x80) {
		utf8[0] = (char)c;
		n = 1;
	} else if (c < 0x800) {
		utf8[0] = (char)(0xc0 | (c >> 6));
		n = 2;
	} else if (c < 0x10000) {
		utf8[0] = (char)(0xe0 | (c >> 12));
		n = 3;
	} else {
		utf8[0] = (char)(0xf0 | (c >> 18));
		n = 4;
	}
	for (size_t i = 1; i < n; i++)
		utf8[i] = (char)(0x80 | ((c >> (6 * (n - 1 - i))) & 0x3f));
	return buf_append(b, utf8, n) ? NULL : fail(p, "string too long");
}

static struct err *parse_unicode(struct parser *p, int digits, struct buf *b)
{
	uint32_t c = 0;

	for (int i = 0; i < digits; i++) {
		char d = peek(p);

		if (!isxdigit((unsigned char)d))
			return fail(p, "expected %d hexadecimal digits", digits);
		c = c * 16 + (uint32_t)(isdigit((unsigned char)d) ? d - '0' : (d | 32) - 'a' + 10);
		p->at++;
	}
	return put_rune(p, b, c);
}

static struct err *parse_escape(struct parser *p, bool multi, struct buf *b)
{
	static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
	char c = peek(p);
	const char *known = c ? strchr(from, c) : NULL;

	if (known) {
		p->at++;
		return buf_append(b, &to[known - from], 1) ? NULL : fail(p, "string too long");
	}
	if (take(p, 'u'))
		return parse_unicode(p, 4, b);
	if (take(p, 'U'))
		return parse_unicode(p, 8, b);
	if (multi) {
		const char *start = p->at;

		skip_blanks(p);
		if (take_newline(p)) {
			while (peek(p) == ' ' || peek(p) == '\t' || peek(p) == '\n' ||
				looking_at(p, "\r\n")) {
				if (!take_newline(p))
					p->at++;
			}
			return NULL;
		}
		p->at = start;
	}
	return fail(p, "unknown escape \\%c", c ? c : ' ');
}

/* The closing quotes of a multi-line string may follow one or two quotes that belong to it. */
static bool take_multi_end(struct parser *p, char quote, struct buf *b)
{
	const char triple[] = {quote, quote, quote, '\0'};
	int extra = 0;

	if (!looking_at(p, triple))
		return false;
	p->at += 3;
	while (extra < 2 && take(p, quote)) {
		(void)!buf_append(b, &quote, 1);
		extra++;
	}
	return true;
}

static struct err *parse_string(struct parser *p, char **ret)
{
	char quote = *p->at++;
	bool multi = false;
	autoval(buf) b = BUF_INIT(TOML_MAX);

	if (p->end - p->at >= 2 && p->at[0] == quote && p->at[1] == quote) {
		p->at += 2;
		multi = true;
		take_newline(p);
	}
	for (;;) {
		unsigned char c = (unsigned char)peek(p);

		if (p->at >= p->end)
			return fail(p, "the string is not closed");
		if (multi ? take_multi_end(p, quote, &b) : take(p, quote))
			break;
		if (multi && (c == '\n' || looking_at(p, "\r\n"))) {
			take_newline(p);
			(void)!buf_append(&b, "\n", 1);
			continue;
		}
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return fail(p, c == '\n' ? "the string is not closed on its line"
						 : "control character in a string");
		p->at++;
		if (c == '\\' && quote == '"')
			TRY(parse_escape(p, multi, &b));
		else if (!buf_append(&b, &c, 1))
			return fail(p, "string too long");
	}
	if (memchr(buf_str(&b), '\0', b.len))
		return fail(p, "a NUL character cannot stand in a string");
	*ret = buf_take(&b, NULL);
	return NULL;
}

/* --- keys --- */

static bool is_bare(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-';
}

static struct err *parse_simple_key(struct parser *p, char **ret)
{
	const char *start = p->at;

	if (peek(p) == '"' || peek(p) == '\'') {
		if (looking_at(p, "\"\"\"") || looking_at(p, "'''"))
			return fail(p, "a multi-line string cannot be a key");
		return parse_string(p, ret);
	}
	while (p->at < p->end && is_bare(*p->at))
		p->at++;
	if (p->at == start)
		return fail(p, "expected a key");
	*ret = xstrndup(start, (size_t)(p->at - start));
	return NULL;
}

static struct err *parse_key(struct parser *p, struct strv *ret)
{
	for (;;) {
		char *part = NULL;

		skip_blanks(p);
		TRY(parse_simple_key(p, &part));
		strv_add_take(ret, part);
		if (ret->n > TOML_DEPTH)
			return fail(p, "more than %d parts in a key", TOML_DEPTH);
		skip_blanks(p);
		if (!take(p, '.'))
			return NULL;
	}
}

/* --- values --- */

static struct err *parse_value(struct parser *p, struct toml **ret);
static struct err *parse_pair(struct parser *p, struct toml *table);

static struct err *parse_array(struct parser *p, struct toml **ret)
{
	autoptr(toml) array = node_new(p, TOML_ARRAY);

	p->at++;
	TRY(skip_space(p));
	while (!take(p, ']')) {
		struct toml *item = NULL;

		TRY(parse_value(p, &item));
		node_add(array, item);
		TRY(skip_space(p));
		if (take(p, ','))
			TRY(skip_space(p));
		else if (peek(p) != ']')
			return fail(p, "expected ',' or ']' in the array");
	}
	*ret = TAKE(array);
	return NULL;
}

static void seal(struct toml *table)
{
	table->is_inline = true;
	for (size_t i = 0; i < table->n; i++) {
		if (table->items[i]->type == TOML_TABLE)
			seal(table->items[i]);
	}
}

static struct err *parse_inline_table(struct parser *p, struct toml **ret)
{
	autoptr(toml) table = node_new(p, TOML_TABLE);

	p->at++;
	skip_blanks(p);
	if (!take(p, '}')) {
		for (;;) {
			TRY(parse_pair(p, table));
			skip_blanks(p);
			if (take(p, '}'))
				break;
			if (!take(p, ','))
				return fail(p, "expected ',' or '}' in the inline table");
		}
	}
	seal(table);
	*ret = TAKE(table);
	return NULL;
}

/* Digits of the base with single underscores between them, copied without. */
static bool clean_digits(const char *s, size_t len, const char *allowed, struct buf *b)
{
	bool after_digit = false;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '_') {
			if (!after_digit || i + 1 == len)
				return false;
			after_digit = false;
			continue;
		}
		if (!strchr(allowed, s[i]) || !buf_append(b, &s[i], 1))
			return false;
		after_digit = true;
	}
	return after_digit;
}

static struct err *parse_integer(struct parser *p, const char *s, size_t len, struct toml *t)
{
	static const struct {
		const char *prefix, *digits;
		int base;
	} bases[] = {{"0x", "0123456789abcdefABCDEF", 16}, {"0o", "01234567", 8}, {"0b", "01", 2}};
	autoval(buf) b = BUF_INIT(128);
	const char *allowed = "0123456789", *word = s;
	int base = 10;
	char *end;

	for (size_t i = 0; i < ARRAY_LEN(bases); i++) {
		if (len > 2 && strncmp(s, bases[i].prefix, 2) == 0) {
			allowed = bases[i].digits;
			base = bases[i].base;
			s += 2;
			len -= 2;
		}
	}
	if (base == 10 && (*s == '+' || *s == '-')) {
		if (*s == '-')
			(void)!buf_append(&b, "-", 1);
		s++;
		len--;
	}
	if (base == 10 && len > 1 && *s == '0')
		return fail(p, "leading zeros are not allowed: %.40s", word);
	if (!clean_digits(s, len, allowed, &b))
		return fail(p, "%.40s is not a value: strings stand in quotes", word);
	errno = 0;
	t->integer = strtoll(buf_str(&b), &end, base);
	if (errno || *end)
		return fail(p, "%.40s does not fit into 64 bits", word);
	return NULL;
}

static bool float_shape(const char *s)
{
	const char *start;

	if (*s == '+' || *s == '-')
		s++;
	start = s;
	while (isdigit((unsigned char)*s))
		s++;
	if (s == start || (*start == '0' && s - start > 1))
		return false;
	if (*s == '.') {
		start = ++s;
		while (isdigit((unsigned char)*s))
			s++;
		if (s == start)
			return false;
	}
	if (*s == 'e' || *s == 'E') {
		s++;
		if (*s == '+' || *s == '-')
			s++;
		start = s;
		while (isdigit((unsigned char)*s))
			s++;
		if (s == start)
			return false;
	}
	return !*s;
}

static struct err *parse_float(struct parser *p, const char *word, struct toml *t)
{
	autoval(buf) b = BUF_INIT(128);
	const char *bare = word + (*word == '+' || *word == '-');

	t->type = TOML_FLOAT;
	if (str_eq(bare, "inf") || str_eq(bare, "nan")) {
		t->real = str_eq(bare, "inf") ? (*word == '-' ? -INFINITY : INFINITY) : NAN;
		return NULL;
	}
	if (!clean_digits(word, strlen(word), "0123456789+-.eE", &b) || !float_shape(buf_str(&b)))
		return fail(p, "%.40s is not a number", word);
	t->real = strtod(buf_str(&b), NULL);
	return NULL;
}

/* 1979-05-27, 07:32:00, both joined by 'T' or a blank, fraction and offset: the shape only. */
static bool date_shape(const char *s)
{
	static const char date[] = "dddd-dd-dd", time_of_day[] = "dd:dd:dd";
	const char *shape = s[2] == ':' ? time_of_day : date;

	for (; *shape; shape++, s++) {
		if (*shape == 'd' ? !isdigit((unsigned char)*s) : *s != *shape)
			return false;
	}
	if (*s == 'T' || *s == 't' || *s == ' ')
		return s[1] && s[2] && s[3] == ':' && date_shape(s + 1);
	if (*s == '.') {
		if (!isdigit((unsigned char)*++s))
			return false;
		while (isdigit((unsigned char)*s))
			s++;
	}
	if (*s == 'Z' || *s == 'z')
		return !s[1];
	if (*s == '+' || *s == '-')
		return strlen(s) == 6 && s[3] == ':';
	return !*s;
}

static bool is_date(const char *s)
{
	size_t len = strlen(s);

	return (len >= 8 && s[2] == ':') || (len >= 10 && s[4] == '-' && s[7] == '-');
}

static struct err *parse_word(struct parser *p, struct toml **ret)
{
	const char *start = p->at;
	autoptr(toml) t = node_new(p, TOML_INT);
	autofree char *word = NULL;

	while (p->at < p->end && (is_bare(*p->at) || strchr("+.:", *p->at)))
		p->at++;
	/* A blank may stand between date and time. */
	if (p->at - start == 10 && start[4] == '-' && p->end - p->at > 3 && p->at[0] == ' ' &&
		isdigit((unsigned char)p->at[1]) && p->at[3] == ':') {
		p->at++;
		while (p->at < p->end && (is_bare(*p->at) || strchr("+.:", *p->at)))
			p->at++;
	}
	word = xstrndup(start, (size_t)(p->at - start));
	if (!*word)
		return fail(p, "expected a value");
	if (str_eq(word, "true") || str_eq(word, "false")) {
		t->type = TOML_BOOL;
		t->boolean = *word == 't';
	} else if (is_date(word)) {
		if (!date_shape(word))
			return fail(p, "%.40s is not a date or time", word);
		t->type = TOML_DATE;
		t->text = TAKE(word);
	} else if (strncmp(word, "0x", 2) != 0 &&
		   (strpbrk(word, ".eE") || strstr(word, "inf") || strstr(word, "nan"))) {
		TRY(parse_float(p, word, t));
	} else {
		TRY(parse_integer(p, word, strlen(word), t));
	}
	*ret = TAKE(t);
	return NULL;
}

static struct err *parse_value_at(struct parser *p, struct toml **ret)
{
	char c = peek(p);

	if (c == '[')
		return parse_array(p, ret);
	if (c == '{')
		return parse_inline_table(p, ret);
	if (c == '"' || c == '\'') {
		autoptr(toml) t = node_new(p, TOML_STRING);

		TRY(parse_string(p, &t->text));
		*ret = TAKE(t);
		return NULL;
	}
	return parse_word(p, ret);
}

static struct err *parse_value(struct parser *p, struct toml **ret)
{
	struct err *e;

	skip_blanks(p);
	if (p->depth >= TOML_DEPTH)
		return fail(p, "nested more than %d deep", TOML_DEPTH);
	p->depth++;
	e = parse_value_at(p, ret);
	p->depth--;
	return e;
}

/* --- tables --- */

/* The table that a part of a dotted key or a header names, made when it is not there. */
static struct err *descend(
	struct parser *p, struct toml *table, const char *key, bool dotted, struct toml **ret)
{
	struct toml *next = toml_get(table, key);

	if (!next) {
		next = node_new(p, TOML_TABLE);
		next->key = xstrdup(key);
		next->dotted = dotted;
		node_add(table, next);
	}
	if (next->type == TOML_ARRAY && next->of_tables && !dotted)
		next = next->items[next->n - 1];
	if (next->type != TOML_TABLE)
		return fail(p, "%s is %s, defined in line %d", key, toml_type_name(next->type),
			next->line);
	if (next->is_inline)
		return fail(p, "%s is an inline table and cannot be extended", key);
	if (dotted && (next->defined || (!next->dotted && next->n && next->line != p->line)))
		return fail(p, "%s was defined by a header in line %d", key, next->line);
	*ret = next;
	return NULL;
}

static struct err *parse_pair(struct parser *p, struct toml *table)
{
	autoval(strv) key = STRV_INIT;
	struct toml *value = NULL;
	const char *last;

	TRY(parse_key(p, &key));
	for (size_t i = 0; i + 1 < key.n; i++)
		TRY(descend(p, table, key.items[i], true, &table));
	last = key.items[key.n - 1];
	if (toml_get(table, last))
		return fail(
			p, "%s is already defined in line %d", last, toml_get(table, last)->line);
	if (!take(p, '='))
		return fail(p, "expected '=' behind the key %s", last);
	TRY(parse_value(p, &value));
	value->key = xstrdup(last);
	node_add(table, value);
	return NULL;
}

static struct err *open_table(struct parser *p, struct toml *parent, const char *name)
{
	struct toml *t = toml_get(parent, name);

	if (!t) {
		TRY(descend(p, parent, name, false, &t));
	} else if (t->type != TOML_TABLE || t->defined || t->is_inline || t->dotted) {
		return fail(p, "%s is already defined in line %d", name, t->line);
	}
	t->defined = true;
	t->line = p->line;
	p->table = t;
	return NULL;
}

static struct err *append_table(struct parser *p, struct toml *parent, const char *name)
{
	struct toml *array = toml_get(parent, name), *t;

	if (!array) {
		array = node_new(p, TOML_ARRAY);
		array->key = xstrdup(name);
		array->of_tables = true;
		node_add(parent, array);
	}
	if (array->type != TOML_ARRAY || !array->of_tables)
		return fail(p, "%s is not an array of tables, see line %d", name, array->line);
	t = node_new(p, TOML_TABLE);
	t->defined = true;
	node_add(array, t);
	p->table = t;
	return NULL;
}

static struct err *parse_header(struct parser *p)
{
	bool array = looking_at(p, "[[");
	autoval(strv) key = STRV_INIT;
	struct toml *parent = p->root;
	const char *last;

	p->at += array ? 2 : 1;
	TRY(parse_key(p, &key));
	if (!take(p, ']') || (array && !take(p, ']')))
		return fail(p, "expected '%s' behind the table's name", array ? "]]" : "]");
	for (size_t i = 0; i + 1 < key.n; i++)
		TRY(descend(p, parent, key.items[i], false, &parent));
	last = key.items[key.n - 1];
	return array ? append_table(p, parent, last) : open_table(p, parent, last);
}

struct err *toml_parse(const char *file, const char *text, size_t len, struct toml **ret)
{
	struct parser p = {.file = file, .at = text, .end = text + len, .line = 1};
	autoptr(toml) root = NULL;

	if (len > TOML_MAX)
		return err_new(ERR_INVALID, "%s: larger than %zu bytes", file, TOML_MAX);
	if (!utf8_valid(text, len))
		return err_new(ERR_INVALID, "%s: not UTF-8", file);
	if (looking_at(&p, "\xef\xbb\xbf"))
		p.at += 3;
	root = p.root = p.table = node_new(&p, TOML_TABLE);
	while (p.at < p.end) {
		TRY(skip_space(&p));
		if (p.at >= p.end)
			break;
		if (peek(&p) == '[')
			TRY(parse_header(&p));
		else
			TRY(parse_pair(&p, p.table));
		TRY(expect_line_end(&p));
	}
	*ret = TAKE(root);
	return NULL;
}
