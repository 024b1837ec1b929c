// SPDX-License-Identifier: Apache-2.0
#include "ctr/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/timestamp.h"

void format_bytes(int64_t n, char ret[static SIZE_TEXT])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double size = (double)n;
	size_t i = 0;

	for (; size >= 1024 && i + 1 < ARRAY_LEN(units); i++)
		size /= 1024;
	snprintf(ret, SIZE_TEXT, "%.1f %s", size, units[i]);
}

void format_human_size(int64_t n, char ret[static SIZE_TEXT])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	double size = (double)n;
	size_t i = 0;

	for (; size >= 1000 && i + 1 < ARRAY_LEN(units); i++)
		size /= 1000;
	snprintf(ret, SIZE_TEXT, "%.4g%s", size, units[i]);
}

static void format_duration(int64_t seconds, char ret[static AGE_TEXT])
{
	static const struct {
		int64_t below; /* hours */
		int64_t per;
		const char *unit;
	} scales[] = {
		{48, 1, "hours"},
		{24 * 7 * 2, 24, "days"},
		{24 * 30 * 2, 24 * 7, "weeks"},
		{24 * 365 * 2, 24 * 30, "months"},
		{INT64_MAX, 24 * 365, "years"},
	};
	int64_t minutes = seconds / 60, hours = (seconds + 1800) / 3600;
	size_t i = 0;

	if (seconds < 1)
		snprintf(ret, AGE_TEXT, "Less than a second");
	else if (seconds == 1)
		snprintf(ret, AGE_TEXT, "1 second");
	else if (seconds < 60)
		snprintf(ret, AGE_TEXT, "%" PRId64 " seconds", seconds);
	else if (minutes == 1)
		snprintf(ret, AGE_TEXT, "About a minute");
	else if (minutes < 60)
		snprintf(ret, AGE_TEXT, "%" PRId64 " minutes", minutes);
	else if (hours == 1)
		snprintf(ret, AGE_TEXT, "About an hour");
	else {
		while (hours >= scales[i].below)
			i++;
		snprintf(ret, AGE_TEXT, "%" PRId64 " %s", hours / scales[i].per, scales[i].unit);
	}
}

void format_age(struct ctd_time since, char ret[static AGE_TEXT])
{
	struct timestamp now = timestamp_now();
	int64_t seconds = now.sec - since.sec - (now.nsec < since.nsec);

	format_duration(seconds, ret);
}

void format_time(struct ctd_time t, char ret[static TIME_TEXT])
{
	timestamp_format((struct timestamp){.sec = t.sec, .nsec = t.nsec}, ret);
}

void format_time_go(struct ctd_time t, char ret[static TIME_TEXT])
{
	char text[TIMESTAMP_TEXT];
	size_t len;

	timestamp_format((struct timestamp){.sec = t.sec, .nsec = t.nsec}, text);
	len = strlen(text);
	snprintf(ret, TIME_TEXT, "%.10s %.*s +0000 UTC", text, (int)len - 12, text + 11);
}

void format_time_local(struct ctd_time t, char ret[static TIME_TEXT])
{
	time_t sec = t.sec;
	char zone[8], text[40];
	struct tm tm;

	if (!localtime_r(&sec, &tm)) {
		format_time(t, ret);
		return;
	}
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z", &tm);
	if (tm.tm_gmtoff == 0)
		snprintf(ret, TIME_TEXT, "%sZ", text);
	else
		snprintf(ret, TIME_TEXT, "%s%.3s:%.2s", text, zone, zone + 3);
}

char *format_labels(struct ctd_labels labels)
{
	autoval(strv) pairs = STRV_INIT;

	if (labels.n == 0)
		return xstrdup("-");
	for (size_t i = 0; i < labels.n; i++)
		strv_addf(&pairs, "%s=%s", labels.items[i].key, labels.items[i].value);
	return strv_join(&pairs, ",");
}

char *format_strings(struct ctd_strings strings, const char *separator)
{
	autoval(strv) all = STRV_INIT;

	for (size_t i = 0; i < strings.n; i++)
		strv_add(&all, strings.items[i]);
	return strv_join(&all, separator);
}

/* --- JSON --- */

static void print_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c == '\n' || c == '\r' || c == '\t')
			printf("\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
		else if (c < ' ' || strchr("<>&", c))
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void newline(int depth)
{
	printf("\n%*s", depth * 4, "");
}

static void print_value(struct json_object *o, int depth);

static void print_object(struct json_object *o, int depth)
{
	bool first = true;

	putchar('{');
	json_object_object_foreach(o, key, value)
	{
		if (!first)
			putchar(',');
		first = false;
		newline(depth + 1);
		print_string(key);
		fputs(": ", stdout);
		print_value(value, depth + 1);
	}
	if (!first)
		newline(depth);
	putchar('}');
}

static void print_array(struct json_object *o, int depth)
{
	size_t n = json_object_array_length(o);

	putchar('[');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			putchar(',');
		newline(depth + 1);
		print_value(json_object_array_get_idx(o, i), depth + 1);
	}
	if (n > 0)
		newline(depth);
	putchar(']');
}

static void print_value(struct json_object *o, int depth)
{
	switch (json_object_get_type(o)) {
	case json_type_object:
		print_object(o, depth);
		break;
	case json_type_array:
		print_array(o, depth);
		break;
	case json_type_string:
		print_string(json_object_get_string(o));
		break;
	default:
		fputs(json_object_to_json_string(o), stdout);
	}
}

void print_json(struct json_object *o)
{
	print_value(o, 0);
	putchar('\n');
}

struct json_object *json_labels(struct ctd_labels labels)
{
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < labels.n; i++)
		json_object_object_add(
			o, labels.items[i].key, json_object_new_string(labels.items[i].value));
	return o;
}

struct json_object *json_time(struct ctd_time t)
{
	char text[TIME_TEXT];

	format_time(t, text);
	return json_object_new_string(text);
}

struct json_object *json_document(const char *text)
{
	struct json_object *o = NULL;
	autoptr(err) e = text ? json_parse(text, strlen(text), &o) : NULL;

	return o ? o : json_object_new_object();
}

/* --- labels --- */

void label_args_done(struct label_args *l)
{
	strmap_done(&l->map);
	free(l->items);
	l->items = NULL;
}

struct ctd_labels label_args_read(
	struct label_args *l, char *const *texts, const char *value_of_bare)
{
	for (; texts && *texts; texts++) {
		const char *equals = strchrnul(*texts, '=');
		autofree char *key = xstrndup(*texts, (size_t)(equals - *texts));

		strmap_set(&l->map, key, *equals ? equals + 1 : value_of_bare);
	}
	l->items = xcalloc(l->map.n + 1, sizeof(*l->items));
	for (size_t i = 0; i < l->map.n; i++)
		l->items[i] = (struct ctd_label){l->map.entries[i].key, l->map.entries[i].value};
	return (struct ctd_labels){.n = l->map.n, .items = l->items};
}
