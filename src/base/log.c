// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/timestamp.h"

#define LINE_MAX_BYTES (64 * 1024)

static atomic_int current_level = LOG_INFO;
static atomic_int current_format = LOG_TEXT;

static const char *const level_names[] = {"trace", "debug", "info", "warning", "error", "fatal"};

bool log_level_parse(const char *text, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (strcasecmp(text, level_names[i]) == 0) {
			*ret = (enum log_level)i;
			return true;
		}
	}
	if (strcasecmp(text, "warn") == 0)
		*ret = LOG_WARN;
	else if (strcasecmp(text, "panic") == 0)
		*ret = LOG_FATAL;
	else
		return false;
	return true;
}

void log_set_level(enum log_level level)
{
	atomic_store(&current_level, (int)level);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load(&current_level);
}

void log_set_format(enum log_format format)
{
	atomic_store(&current_format, (int)format);
}

/* A line that outgrows the bound is cut there. */
static void put(struct buf *b, const char *s, size_t len)
{
	(void)!buf_append(b, s, MIN(len, b->max - b->len));
}

static void put_quoted(struct buf *b, const char *s)
{
	put(b, "\"", 1);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		char escape[8];

		if (c == '"' || c == '\\')
			snprintf(escape, sizeof(escape), "\\%c", c);
		else if (c == '\n')
			snprintf(escape, sizeof(escape), "\\n");
		else if (c == '\t')
			snprintf(escape, sizeof(escape), "\\t");
		else if (c < 0x20 || c == 0x7f)
			snprintf(escape, sizeof(escape), "\\u%04x", c);
		else
			snprintf(escape, sizeof(escape), "%c", c);
		put(b, escape, strlen(escape));
	}
	put(b, "\"", 1);
}

static bool needs_quotes(const char *s)
{
	if (!*s)
		return true;
	for (; *s; s++) {
		if (!isalnum((unsigned char)*s) && !strchr("-._/@^+", *s))
			return true;
	}
	return false;
}

static void put_field(struct buf *b, bool json, const char *key, const char *value)
{
	if (b->len > (json ? 1 : 0))
		put(b, json ? "," : " ", 1);
	if (json) {
		put_quoted(b, key);
		put(b, ":", 1);
	} else {
		put(b, key, strlen(key));
		put(b, "=", 1);
	}
	if (!value)
		value = "";
	if (json || needs_quotes(value))
		put_quoted(b, value);
	else
		put(b, value, strlen(value));
}

void log_write(enum log_level level, const char *message, ...)
{
	bool json = atomic_load(&current_format) == LOG_JSON;
	autoval(buf) line = BUF_INIT(LINE_MAX_BYTES);
	char now[TIMESTAMP_TEXT];
	const char *key;
	va_list ap;

	if ((int)level < atomic_load(&current_level))
		return;
	timestamp_format(timestamp_now(), now);
	if (json)
		put(&line, "{", 1);
	put_field(&line, json, json ? "time" : "time", now);
	put_field(&line, json, "level", level_names[level]);
	put_field(&line, json, "msg", message);
	va_start(ap, message);
	while ((key = va_arg(ap, const char *)))
		put_field(&line, json, key, va_arg(ap, const char *));
	va_end(ap);
	line.max += 2;
	put(&line, json ? "}\n" : "\n", json ? 2 : 1);
	(void)!write(STDERR_FILENO, line.data, line.len);
}
