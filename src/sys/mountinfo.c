// SPDX-License-Identifier: Apache-2.0
#include "sys/mountinfo.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

static void close_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

/* Space, tab, newline and backslash stand as three octal digits. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
			s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* The text behind n spaces; NULL when there are fewer. */
static char *skip_fields(char *line, int n)
{
	for (; n > 0; n--) {
		line = strchr(line, ' ');
		if (!line)
			return NULL;
		line++;
	}
	return line;
}

/* End the field here, and make it readable. */
static char *cut(char *field)
{
	field[strcspn(field, " \n")] = '\0';
	unescape(field);
	return field;
}

/* The fifth field of a line, cut out of it; NULL for a line that has none. */
static char *mount_point_of(char *line)
{
	char *field = skip_fields(line, 4);

	return field ? cut(field) : NULL;
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (len == 1)
		return true;
	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

struct err *mountinfo_below(const char *path, struct strv *ret)
{
	__attribute__((cleanup(close_file))) FILE *f = fopen("/proc/self/mountinfo", "re");
	autofree char *line = NULL;
	size_t cap = 0;

	if (!f)
		return err_sys(errno, "open /proc/self/mountinfo");
	while (getline(&line, &cap, f) >= 0) {
		const char *point = mount_point_of(line);

		if (point && is_below(point, path))
			strv_add(ret, point);
	}
	return ferror(f) ? err_sys(errno, "read /proc/self/mountinfo") : NULL;
}

struct found {
	size_t len; /* of the mount point's path */
	char *type, *source;
};

/* The deepest mount point wins, and of those stacked there the last. */
static void consider(struct found *f, char *line, const char *path)
{
	char *fs = strstr(line, " - ");
	char *type = fs ? skip_fields(fs, 2) : NULL;
	char *source = fs ? skip_fields(fs, 3) : NULL;
	const char *point = mount_point_of(line);

	if (!source || !point || !is_below(path, point) || strlen(point) < f->len)
		return;
	free(f->type);
	free(f->source);
	f->len = strlen(point);
	f->source = xstrdup(cut(source));
	f->type = xstrdup(cut(type));
}

struct err *mountinfo_find(const char *path, char **ret_type, char **ret_source)
{
	__attribute__((cleanup(close_file))) FILE *f = fopen("/proc/self/mountinfo", "re");
	autofree char *line = NULL;
	struct found found = {0};
	size_t cap = 0;

	if (!f)
		return err_sys(errno, "open /proc/self/mountinfo");
	while (getline(&line, &cap, f) >= 0)
		consider(&found, line, path);
	if (!found.type)
		return err_new(ERR_NOT_FOUND, "no mount of %s in /proc/self/mountinfo", path);
	*ret_type = found.type;
	*ret_source = found.source;
	return NULL;
}
