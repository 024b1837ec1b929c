// SPDX-License-Identifier: Apache-2.0
#include "ctr/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strv.h"

struct table {
	size_t min_width, tab_width, padding;
	char pad;
	char *text;
	size_t len, cap;
	struct strv *lines; /* the cells of each */
	size_t n_lines, cap_lines;
	size_t *widths;
	size_t n_widths, cap_widths;
};

struct table *table_new(size_t min_width, size_t tab_width, size_t padding, char pad)
{
	struct table *t = NEW(struct table);

	t->min_width = min_width;
	t->tab_width = tab_width;
	t->padding = padding;
	t->pad = pad;
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_lines; i++)
		strv_done(&t->lines[i]);
	free(t->lines);
	free(t->widths);
	free(t->text);
	free(t);
}

void table_add(struct table *t, const char *text)
{
	size_t len = strlen(text);

	while (t->len + len + 1 > t->cap) {
		t->cap = t->cap ? t->cap * 2 : 1024;
		t->text = xrealloc(t->text, t->cap);
	}
	memcpy(t->text + t->len, text, len + 1);
	t->len += len;
}

void table_addf(struct table *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	autofree char *text = xvasprintf(fmt, ap);
	va_end(ap);
	table_add(t, text);
}

static size_t count_runes(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* Unlike strv_split(), empty cells count, also when there is nothing else. */
static void split_cells(struct strv *cells, const char *line, size_t len)
{
	const char *end = line + len;

	for (;;) {
		const char *tab = memchr(line, '\t', (size_t)(end - line));
		const char *stop = tab ? tab : end;

		strv_add_take(cells, xstrndup(line, (size_t)(stop - line)));
		if (!tab)
			return;
		line = tab + 1;
	}
}

static void split_lines(struct table *t)
{
	for (const char *p = t->text; p && *p;) {
		size_t len = strcspn(p, "\n");

		GROW(t->lines, t->n_lines, t->cap_lines);
		t->lines[t->n_lines] = STRV_INIT;
		split_cells(&t->lines[t->n_lines++], p, len);
		p += len + (p[len] == '\n');
	}
}

static void put_padding(const struct table *t, FILE *out, size_t text_width, size_t cell_width)
{
	size_t n = cell_width - text_width;

	if (t->pad == '\t') {
		cell_width = (cell_width + t->tab_width - 1) / t->tab_width * t->tab_width;
		n = (cell_width - text_width + t->tab_width - 1) / t->tab_width;
	}
	for (size_t i = 0; i < n; i++)
		fputc(t->pad, out);
}

static void put_lines(const struct table *t, FILE *out, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		const struct strv *cells = &t->lines[i];

		for (size_t j = 0; j < cells->n; j++) {
			fputs(cells->items[j], out);
			if (j < t->n_widths)
				put_padding(t, out, count_runes(cells->items[j]), t->widths[j]);
		}
		fputc('\n', out);
	}
}

/* The last cell of a line is not part of a column. */
static bool has_column(const struct table *t, size_t line, size_t column)
{
	return column + 1 < t->lines[line].n;
}

/* Lay out the lines by the columns from the n_widths-th on; each block of neighbouring lines that
 * have this column is laid out further by itself. */
static void format(struct table *t, FILE *out, size_t from, size_t to)
{
	size_t column = t->n_widths;

	for (size_t i = from; i < to; i++) {
		size_t width = t->min_width;

		if (!has_column(t, i, column))
			continue;
		put_lines(t, out, from, i);
		from = i;
		for (; i < to && has_column(t, i, column); i++)
			width = MAX(width, count_runes(t->lines[i].items[column]) + t->padding);
		GROW(t->widths, t->n_widths, t->cap_widths);
		t->widths[t->n_widths++] = width;
		format(t, out, from, i);
		t->n_widths--;
		from = i;
		i--;
	}
	put_lines(t, out, from, to);
}

void table_print(struct table *t, FILE *out)
{
	split_lines(t);
	format(t, out, 0, t->n_lines);
}
