// SPDX-License-Identifier: Apache-2.0
/*
 * The parser writes a program for a machine without memory of its own (Thompson's construction);
 * jumps are relative, so a piece of program can be moved or copied as it is: that is how repetition
 * works. Only groups recurse.
 */
#include "base/re.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"

#define PROGRAM_MAX 4096
#define RANGES_MAX 16384
#define DEPTH_MAX 200
#define REPEAT_MAX 1000
#define RUNE_MAX 0x10ffff
#define NO_RUNE UINT32_MAX

enum op { OP_RUNE, OP_CLASS, OP_SPLIT, OP_JUMP, OP_ASSERT, OP_MATCH };
enum assertion { AT_TEXT_START, AT_TEXT_END, AT_LINE_START, AT_LINE_END, AT_WORD, AT_NO_WORD };
enum flags { FOLD = 1, MULTI_LINE = 2, DOT_NEWLINE = 4 };

struct inst {
	uint8_t op;
	bool negate; /* a class */
	int32_t x;   /* rune, first range, assertion, or where a jump leads from here */
	int32_t y;   /* number of ranges, or the other way of a split */
};

struct range {
	uint32_t low, high;
};

struct re {
	struct inst *code;
	size_t n, cap;
	struct range *ranges;
	size_t n_ranges, ranges_cap;
};

struct parser {
	struct re *re;
	const char *p;
	unsigned flags;
	unsigned depth;
};

void re_free(struct re *re)
{
	if (!re)
		return;
	free(re->code);
	free(re->ranges);
	free(re);
}

static struct err *bad(const char *why)
{
	return err_new(ERR_INVALID, "regular expression: %s", why);
}

/* --- the program --- */

static struct err *emit(struct re *re, struct inst in)
{
	if (re->n == PROGRAM_MAX)
		return bad("too large");
	GROW(re->code, re->n, re->cap);
	re->code[re->n++] = in;
	return NULL;
}

static struct err *emit_at(struct re *re, size_t at, struct inst in)
{
	TRY(emit(re, in));
	memmove(re->code + at + 1, re->code + at, (re->n - 1 - at) * sizeof(in));
	re->code[at] = in;
	return NULL;
}

static struct err *emit_copy(struct re *re, size_t from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		TRY(emit(re, re->code[from + i]));
	return NULL;
}

static struct err *add_range(struct re *re, uint32_t low, uint32_t high)
{
	if (re->n_ranges == RANGES_MAX)
		return bad("too large");
	GROW(re->ranges, re->n_ranges, re->ranges_cap);
	re->ranges[re->n_ranges++] = (struct range){low, high};
	return NULL;
}

/* Adds the range and, when letters fold, its image in the other case. */
static struct err *add_folded(struct parser *s, uint32_t low, uint32_t high)
{
	TRY(add_range(s->re, low, high));
	if (!(s->flags & FOLD))
		return NULL;
	if (low <= 'z' && high >= 'a')
		TRY(add_range(s->re, MAX(low, 'a') - 32, MIN(high, 'z') - 32));
	if (low <= 'Z' && high >= 'A')
		TRY(add_range(s->re, MAX(low, 'A') + 32, MIN(high, 'Z') + 32));
	return NULL;
}

static struct err *emit_class(struct parser *s, size_t first, bool negate)
{
	return emit(s->re, (struct inst){.op = OP_CLASS,
				   .negate = negate,
				   .x = (int32_t)first,
				   .y = (int32_t)(s->re->n_ranges - first)});
}

static struct err *emit_rune(struct parser *s, uint32_t rune)
{
	size_t first = s->re->n_ranges;
	uint32_t lower = rune | 32;

	if (!(s->flags & FOLD) || lower < 'a' || lower > 'z')
		return emit(s->re, (struct inst){.op = OP_RUNE, .x = (int32_t)rune});
	TRY(add_folded(s, rune, rune));
	return emit_class(s, first, false);
}

static struct err *emit_assert(struct parser *s, enum assertion which)
{
	return emit(s->re, (struct inst){.op = OP_ASSERT, .x = which});
}

/* --- characters --- */

/* The rune at *p, which moves on; a byte that is not UTF-8 counts as U+FFFD, as in Go. */
static uint32_t next_rune(const char **p)
{
	const unsigned char *u = (const unsigned char *)*p;
	size_t len = u[0] < 0x80 ? 1 : u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
	uint32_t rune = len == 1 ? u[0] : u[0] & (0x7fu >> len);

	if (len > 1 && (strnlen(*p, len) < len || !utf8_valid(*p, len))) {
		*p += 1;
		return 0xfffd;
	}
	for (size_t i = 1; i < len; i++)
		rune = rune << 6 | (u[i] & 0x3f);
	*p += len;
	return rune;
}

struct class_name {
	const char *name;
	const char *ranges; /* pairs */
};

static const struct class_name posix_classes[] = {
	{"alnum", "09AZaz"},
	{"alpha", "AZaz"},
	{"blank", "\t\t  "},
	{"digit", "09"},
	{"graph", "!~"},
	{"lower", "az"},
	{"print", " ~"},
	{"punct", "!/:@[`{~"},
	{"space", "\t\r  "},
	{"upper", "AZ"},
	{"word", "09AZaz__"},
	{"xdigit", "09AFaf"},
};

static const char *perl_class(char c)
{
	switch (c | 32) {
	case 'd':
		return "09";
	case 'w':
		return "09AZ__az"; /* in order, for the complement */
	case 's':
		return "\t\n\f\r  ";
	default:
		return NULL;
	}
}

static struct err *add_named(struct parser *s, const char *ranges, bool complement)
{
	uint32_t next = 0;

	for (; *ranges; ranges += 2) {
		if (!complement)
			TRY(add_folded(s, (uint32_t)ranges[0], (uint32_t)ranges[1]));
		else
			TRY(add_range(s->re, next, (uint32_t)ranges[0] - 1));
		next = (uint32_t)ranges[1] + 1;
	}
	return complement ? add_range(s->re, next, RUNE_MAX) : NULL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct err *hex_escape(struct parser *s, uint32_t *ret)
{
	bool braces = *s->p == '{';
	uint32_t rune = 0;
	unsigned n = 0;

	s->p += braces;
	for (int d; (braces || n < 2) && (d = hex_digit(*s->p)) >= 0; n++, s->p++) {
		rune = rune << 4 | (uint32_t)d;
		if (rune > RUNE_MAX)
			return bad("invalid escape sequence");
	}
	if (n == 0 || (!braces && n != 2) || (braces && *s->p++ != '}'))
		return bad("invalid escape sequence");
	*ret = rune;
	return NULL;
}

static struct err *octal_escape(struct parser *s, uint32_t *ret)
{
	uint32_t rune = 0;

	if (*s->p != '0' && (s->p[1] < '0' || s->p[1] > '7'))
		return bad("references to groups are not supported");
	for (unsigned n = 0; n < 3 && *s->p >= '0' && *s->p <= '7'; n++)
		rune = rune * 8 + (uint32_t)(*s->p++ - '0');
	*ret = rune;
	return NULL;
}

/* What follows a backslash and stands for one rune. */
static struct err *escaped_rune(struct parser *s, uint32_t *ret)
{
	static const char from[] = "aftnrv", to[] = "\a\f\t\n\r\v";
	const char *known;
	char c = *s->p;

	if (c == '\0')
		return bad("trailing backslash");
	if (c >= '0' && c <= '7')
		return octal_escape(s, ret);
	if (c == 'x') {
		s->p++;
		return hex_escape(s, ret);
	}
	known = strchr(from, c);
	if (known) {
		s->p++;
		*ret = (uint32_t)to[known - from];
		return NULL;
	}
	if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
		(unsigned char)c >= 0x80)
		return bad("invalid escape sequence");
	*ret = (uint32_t)*s->p++;
	return NULL;
}

/* --- [...] --- */

static struct err *class_rune(struct parser *s, uint32_t *ret)
{
	if (*s->p == '\0')
		return bad("missing closing ]");
	if (*s->p != '\\') {
		*ret = next_rune(&s->p);
		return NULL;
	}
	s->p++;
	return escaped_rune(s, ret);
}

/* "[:name:]" and "[:^name:]"; *ret_done stays false when it is none. */
static struct err *class_posix(struct parser *s, bool *ret_done)
{
	const char *name = s->p + 2, *end;
	bool complement;

	if (s->p[0] != '[' || s->p[1] != ':' || !(end = strstr(name, ":]")))
		return NULL;
	complement = *name == '^';
	name += complement;
	for (size_t i = 0; i < ARRAY_LEN(posix_classes); i++) {
		const struct class_name *c = &posix_classes[i];

		if (strlen(c->name) != (size_t)(end - name) ||
			strncmp(c->name, name, (size_t)(end - name)) != 0)
			continue;
		s->p = end + 2;
		*ret_done = true;
		/* "word" has its letters before the underscore, which a complement may not. */
		return add_named(
			s, complement && i == 10 ? perl_class('w') : c->ranges, complement);
	}
	return bad("invalid character class");
}

static struct err *class_item(struct parser *s)
{
	uint32_t low, high;
	bool done = false;

	TRY(class_posix(s, &done));
	if (done)
		return NULL;
	if (s->p[0] == '\\' && s->p[1] && perl_class(s->p[1])) {
		s->p += 2;
		return add_named(s, perl_class(s->p[-1]), s->p[-1] < 'a');
	}
	TRY(class_rune(s, &low));
	high = low;
	if (s->p[0] == '-' && s->p[1] && s->p[1] != ']') {
		s->p++;
		TRY(class_rune(s, &high));
		if (high < low)
			return bad("invalid character class range");
	}
	return add_folded(s, low, high);
}

static struct err *parse_class(struct parser *s)
{
	size_t first = s->re->n_ranges;
	bool negate = *s->p == '^';

	s->p += negate;
	do {
		if (*s->p == '\0')
			return bad("missing closing ]");
		TRY(class_item(s));
	} while (*s->p != ']');
	s->p++;
	return emit_class(s, first, negate);
}

/* --- the rest of the grammar --- */

static struct err *parse_alternatives(struct parser *s);
static bool parse_quantifier(const char **p, int *ret_min, int *ret_max);

static struct err *parse_literal_span(struct parser *s) /* \Q...\E */
{
	while (*s->p && strncmp(s->p, "\\E", 2) != 0)
		TRY(emit_rune(s, next_rune(&s->p)));
	s->p += *s->p ? 2 : 0;
	return NULL;
}

static struct err *parse_escape(struct parser *s)
{
	size_t first = s->re->n_ranges;
	uint32_t rune;

	switch (*s->p) {
	case 'A':
		s->p++;
		return emit_assert(s, AT_TEXT_START);
	case 'z':
		s->p++;
		return emit_assert(s, AT_TEXT_END);
	case 'b':
	case 'B':
		return emit_assert(s, *s->p++ == 'b' ? AT_WORD : AT_NO_WORD);
	case 'Q':
		s->p++;
		return parse_literal_span(s);
	}
	if (*s->p && perl_class(*s->p)) {
		s->p++;
		TRY(add_named(s, perl_class(s->p[-1]), s->p[-1] < 'a'));
		return emit_class(s, first, false);
	}
	TRY(escaped_rune(s, &rune));
	return emit_rune(s, rune);
}

/* "i", "m-s", ... up to ':' or ')'. */
static struct err *parse_flags(struct parser *s)
{
	bool clear = false;

	for (;; s->p++) {
		unsigned flag = 0;

		switch (*s->p) {
		case ':':
		case ')':
			return NULL;
		case '-':
			if (clear)
				return bad("invalid or unsupported group");
			clear = true;
			continue;
		case 'i':
			flag = FOLD;
			break;
		case 'm':
			flag = MULTI_LINE;
			break;
		case 's':
			flag = DOT_NEWLINE;
			break;
		case 'U': /* greed makes no difference to whether something matches */
			break;
		default:
			return bad("invalid or unsupported group");
		}
		s->flags = clear ? s->flags & ~flag : s->flags | flag;
	}
}

/* Behind "(?". *ret_empty: it was "(?flags)", which has no body. */
static struct err *parse_group_head(struct parser *s, bool *ret_empty)
{
	const char *name = s->p + (*s->p == 'P');

	*ret_empty = false;
	if (*name == '<') {
		size_t len = strspn(name + 1,
			"0123456789_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

		if (len == 0 || name[1 + len] != '>')
			return bad("invalid named capture");
		s->p = name + 1 + len + 1;
		return NULL;
	}
	TRY(parse_flags(s));
	*ret_empty = *s->p++ == ')';
	return NULL;
}

static struct err *parse_group(struct parser *s)
{
	unsigned outer = s->flags;
	bool empty = false;

	if (++s->depth > DEPTH_MAX)
		return bad("nested too deep");
	if (*s->p == '?') {
		s->p++;
		TRY(parse_group_head(s, &empty));
	}
	s->depth--;
	if (empty) {
		int min, max;

		/* The flags hold to the end of the group around, and are nothing to repeat. */
		return parse_quantifier(&(const char *){s->p}, &min, &max)
			       ? bad("missing argument to repetition operator")
			       : NULL;
	}
	s->depth++;
	TRY(parse_alternatives(s));
	s->depth--;
	if (*s->p++ != ')')
		return bad("missing closing )");
	s->flags = outer;
	return NULL;
}

static struct err *parse_atom(struct parser *s)
{
	size_t first = s->re->n_ranges;
	const char *at = s->p;

	switch (*at) {
	case '(':
		s->p++;
		return parse_group(s);
	case '[':
		s->p++;
		return parse_class(s);
	case '\\':
		s->p++;
		return parse_escape(s);
	case '.':
		s->p++;
		if (!(s->flags & DOT_NEWLINE))
			TRY(add_range(s->re, '\n', '\n'));
		return emit_class(s, first, true);
	case '^':
		s->p++;
		return emit_assert(s, s->flags & MULTI_LINE ? AT_LINE_START : AT_TEXT_START);
	case '$':
		s->p++;
		return emit_assert(s, s->flags & MULTI_LINE ? AT_LINE_END : AT_TEXT_END);
	default:
		return emit_rune(s, next_rune(&s->p));
	}
}

static bool parse_count(const char **p, int *ret)
{
	const char *start = *p;

	for (*ret = 0; **p >= '0' && **p <= '9' && *p - start < 8; ++*p)
		*ret = *ret * 10 + (**p - '0');
	return *p != start;
}

/* "{n}", "{n,}", "{n,m}" (-1: no end); what looks otherwise is text. */
static bool parse_braces(const char **p, int *ret_min, int *ret_max)
{
	const char *q = *p + 1;

	if (**p != '{' || !parse_count(&q, ret_min))
		return false;
	*ret_max = *ret_min;
	if (*q == ',') {
		q++;
		if (*q == '}')
			*ret_max = -1;
		else if (!parse_count(&q, ret_max))
			return false;
	}
	if (*q != '}')
		return false;
	*p = q + 1;
	return true;
}

static bool parse_quantifier(const char **p, int *ret_min, int *ret_max)
{
	*ret_min = **p == '+' ? 1 : 0;
	*ret_max = **p == '?' ? 1 : -1;
	if (**p != '*' && **p != '+' && **p != '?')
		return parse_braces(p, ret_min, ret_max);
	++*p;
	return true;
}

/* The piece at `at` to the end becomes min..max of itself. */
static struct err *repeat(struct re *re, size_t at, int min, int max)
{
	int32_t len = (int32_t)(re->n - at);
	int copies = MAX(max < 0 ? MAX(min, 1) : max, 1);

	for (int i = 1; i < copies; i++) {
		if (max >= 0 && i >= min)
			TRY(emit(re, (struct inst){.op = OP_SPLIT, .x = 1, .y = len + 1}));
		TRY(emit_copy(re, at, (size_t)len));
	}
	if (max < 0 && min > 0)
		return emit(re, (struct inst){.op = OP_SPLIT, .x = -len, .y = 1});
	if (max < 0) {
		TRY(emit_at(re, at, (struct inst){.op = OP_SPLIT, .x = 1, .y = len + 2}));
		return emit(re, (struct inst){.op = OP_JUMP, .x = -len - 1});
	}
	if (max == 0)
		re->n = at;
	else if (min == 0)
		return emit_at(re, at, (struct inst){.op = OP_SPLIT, .x = 1, .y = len + 1});
	return NULL;
}

static struct err *parse_repeated(struct parser *s)
{
	size_t at = s->re->n;
	int min, max;

	if (parse_quantifier(&s->p, &min, &max))
		return bad("missing argument to repetition operator");
	TRY(parse_atom(s));
	if (!parse_quantifier(&s->p, &min, &max))
		return NULL;
	if (min > REPEAT_MAX || max > REPEAT_MAX || (max >= 0 && min > max))
		return bad("invalid repeat count");
	s->p += *s->p == '?';
	TRY(repeat(s->re, at, min, max));
	if (parse_quantifier(&s->p, &min, &max))
		return bad("invalid nested repetition operator");
	return NULL;
}

static struct err *parse_alternatives(struct parser *s)
{
	struct re *re = s->re;
	size_t at = re->n;
	int32_t last_jump = -1; /* the ends of the alternatives, each naming the one before */

	for (;;) {
		while (*s->p && *s->p != '|' && *s->p != ')')
			TRY(parse_repeated(s));
		if (*s->p != '|')
			break;
		s->p++;
		TRY(emit(re, (struct inst){.op = OP_JUMP, .x = last_jump}));
		TRY(emit_at(re, at,
			(struct inst){.op = OP_SPLIT, .x = 1, .y = (int32_t)(re->n - at + 1)}));
		last_jump = (int32_t)re->n - 1;
		at = re->n;
	}
	while (last_jump >= 0) {
		int32_t before = re->code[last_jump].x;

		re->code[last_jump].x = (int32_t)re->n - last_jump;
		last_jump = before;
	}
	return NULL;
}

struct err *re_compile(const char *pattern, struct re **ret)
{
	autoptr(re) re = NEW(struct re);
	struct parser s = {.re = re, .p = pattern};

	if (!utf8_valid(pattern, strlen(pattern)))
		return bad("invalid UTF-8");
	TRY(parse_alternatives(&s));
	if (*s.p)
		return bad("unexpected )");
	TRY(emit(re, (struct inst){.op = OP_MATCH}));
	*ret = TAKE(re);
	return NULL;
}

/* --- matching: all states the program can be in, one rune at a time --- */

struct states {
	uint32_t *pc;
	size_t n;
};

struct run {
	const struct re *re;
	uint32_t *seen; /* by program counter: the step at which it was last added */
	uint32_t *stack;
	uint32_t step;
};

static bool is_word(uint32_t r)
{
	return r == '_' || (r >= '0' && r <= '9') || ((r | 32) >= 'a' && (r | 32) <= 'z');
}

static bool holds(enum assertion which, uint32_t before, uint32_t after)
{
	switch (which) {
	case AT_TEXT_START:
		return before == NO_RUNE;
	case AT_TEXT_END:
		return after == NO_RUNE;
	case AT_LINE_START:
		return before == NO_RUNE || before == '\n';
	case AT_LINE_END:
		return after == NO_RUNE || after == '\n';
	case AT_WORD:
		return is_word(before) != is_word(after);
	case AT_NO_WORD:
		return is_word(before) == is_word(after);
	}
	return false;
}

/* Add the state and all it leads to without reading; true when that is the end of the program. */
static bool add_state(
	struct run *r, struct states *to, uint32_t pc, uint32_t before, uint32_t after)
{
	size_t depth = 0;

	r->stack[depth++] = pc;
	while (depth > 0) {
		const struct inst *in = &r->re->code[pc = r->stack[--depth]];

		if (r->seen[pc] == r->step)
			continue;
		r->seen[pc] = r->step;
		if (in->op == OP_MATCH)
			return true;
		if (in->op == OP_SPLIT)
			r->stack[depth++] = pc + (uint32_t)in->y;
		if (in->op == OP_SPLIT || in->op == OP_JUMP)
			r->stack[depth++] = pc + (uint32_t)in->x;
		else if (in->op != OP_ASSERT)
			to->pc[to->n++] = pc;
		else if (holds((enum assertion)in->x, before, after))
			r->stack[depth++] = pc + 1;
	}
	return false;
}

static bool takes(const struct re *re, const struct inst *in, uint32_t rune)
{
	if (in->op == OP_RUNE)
		return (uint32_t)in->x == rune;
	for (int32_t i = in->x; i < in->x + in->y; i++)
		if (rune >= re->ranges[i].low && rune <= re->ranges[i].high)
			return !in->negate;
	return in->negate;
}

static bool run_machine(struct run *r, struct states *now, struct states *next, const char *text)
{
	uint32_t before = NO_RUNE, rune = *text ? next_rune(&text) : NO_RUNE;

	r->step = 1;
	for (;;) {
		struct states *swap = now;
		uint32_t after;

		/* A match may begin anywhere: the start joins what goes on from before. */
		if (add_state(r, now, 0, before, rune))
			return true;
		if (rune == NO_RUNE)
			return false;
		after = *text ? next_rune(&text) : NO_RUNE;
		next->n = 0;
		r->step++;
		for (size_t i = 0; i < now->n; i++)
			if (takes(r->re, &r->re->code[now->pc[i]], rune) &&
				add_state(r, next, now->pc[i] + 1, rune, after))
				return true;
		now = next;
		next = swap;
		before = rune;
		rune = after;
	}
}

bool re_match(const struct re *re, const char *text)
{
	/* A state enters the stack at most twice per instruction: once for each way to it. */
	autofree uint32_t *memory = xcalloc(5 * re->n + 2, sizeof(*memory));
	struct run r = {.re = re, .seen = memory, .stack = memory + 3 * re->n};
	struct states now = {.pc = memory + re->n}, next = {.pc = memory + 2 * re->n};

	return run_machine(&r, &now, &next, text);
}
