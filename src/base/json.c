// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"

/* Bytes, about. */
#define CONTAINER_COST 512
#define VALUE_COST 96

/* What a text costs in memory once it is parsed: a byte or two can stand for a whole object. */
static bool is_cheap(const char *text, size_t len)
{
	size_t cost = 0;
	bool in_string = false;

	for (size_t i = 0; i < len && cost <= JSON_COST_MAX; i++) {
		if (text[i] == '"')
			in_string = !in_string;
		else if (in_string)
			i += text[i] == '\\';
		else if (text[i] == '[' || text[i] == '{')
			cost += CONTAINER_COST;
		else if (text[i] == ',')
			cost += VALUE_COST;
	}
	return cost <= JSON_COST_MAX;
}

static struct err *parse(const char *text, size_t len, int flags, struct json_object **ret)
{
	struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH_MAX);
	autoptr(json_object) o = NULL;
	enum json_tokener_error status;
	size_t end;

	json_tokener_set_flags(tok, flags | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	o = json_tokener_parse_ex(tok, text, (int)len);
	status = json_tokener_get_error(tok);
	end = json_tokener_get_parse_end(tok);
	/* A bare number ends only at the end of the text. */
	if (status == json_tokener_continue) {
		o = json_tokener_parse_ex(tok, "", 1);
		status = json_tokener_get_error(tok);
		end = len;
	}
	json_tokener_free(tok);
	if (status != json_tokener_success)
		return err_new(ERR_INVALID, "JSON: %s at byte %zu",
			status == json_tokener_continue ? "unexpected end"
							: json_tokener_error_desc(status),
			end);
	for (; end < len; end++) {
		if (!isspace((unsigned char)text[end]))
			return err_new(
				ERR_INVALID, "JSON: text behind the document at byte %zu", end);
	}
	*ret = TAKE(o);
	return NULL;
}

/* A copy in which what is not ASCII is replaced; NULL when there is nothing to replace. */
static char *ascii_copy(const char *text, size_t len)
{
	char *copy = NULL;

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x80)
			continue;
		if (!copy)
			copy = xmemdup(text, len);
		copy[i] = '?';
	}
	return copy;
}

/* Strict, as other readers of the same documents are. The strict mode of json-c 0.18 refuses every
 * character that is not ASCII, which can stand in strings only: then the rest is checked without. */
struct err *json_parse(const char *text, size_t len, struct json_object **ret)
{
	autofree char *ascii = NULL;
	autoptr(json_object) checked = NULL;

	if (len >= INT_MAX)
		return err_new(ERR_INVALID, "JSON document of %zu bytes is too large", len);
	if (!utf8_valid(text, len))
		return err_new(ERR_INVALID, "JSON document is not UTF-8");
	if (!is_cheap(text, len))
		return err_new(ERR_INVALID, "JSON document has too many values");
	ascii = ascii_copy(text, len);
	if (!ascii)
		return parse(text, len, JSON_TOKENER_STRICT, ret);
	TRY(parse(ascii, len, JSON_TOKENER_STRICT, &checked));
	return parse(text, len, 0, ret);
}

struct json_object *json_find(struct json_object *o, const char *path)
{
	while (o && *path) {
		const char *dot = strchrnul(path, '.');
		autofree char *key = xstrndup(path, (size_t)(dot - path));
		struct json_object *next = NULL;

		if (!json_object_is_type(o, json_type_object))
			return NULL;
		json_object_object_get_ex(o, key, &next);
		o = next;
		path = *dot ? dot + 1 : dot;
	}
	return o;
}

const char *json_find_string(struct json_object *o, const char *path)
{
	struct json_object *found = json_find(o, path);

	return json_object_is_type(found, json_type_string) ? json_object_get_string(found) : NULL;
}

bool json_string(const char *s, struct buf *b)
{
	const char *start = s;
	char escaped[8];

	if (!buf_append(b, "\"", 1))
		return false;
	for (;; s++) {
		unsigned char c = (unsigned char)*s;

		if (c >= ' ' && !strchr("\"\\<>&", c))
			continue;
		if (!buf_append(b, start, (size_t)(s - start)))
			return false;
		start = s + 1;
		if (c == 0)
			return buf_append(b, "\"", 1);
		if (c == '"' || c == '\\')
			snprintf(escaped, sizeof(escaped), "\\%c", c);
		else if (c == '\n' || c == '\r' || c == '\t')
			snprintf(escaped, sizeof(escaped), "\\%c",
				c == '\n'   ? 'n'
				: c == '\r' ? 'r'
					    : 't');
		else
			snprintf(escaped, sizeof(escaped), "\\u%04x", c);
		if (!buf_append(b, escaped, strlen(escaped)))
			return false;
	}
}
