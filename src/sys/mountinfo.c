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

/* The fifth field of a line, cut out of it; NULL for a line that has none. */
static char *mount_point_of(char *line)
{
	for (int i = 0; i < 4; i++) {
		line = strchr(line, ' ');
		if (!line)
			return NULL;
		line++;
	}
	line[strcspn(line, " \n")] = '\0';
	unescape(line);
	return line;
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
