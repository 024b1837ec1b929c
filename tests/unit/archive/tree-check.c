// SPDX-License-Identifier: Apache-2.0
#include "tree-check.h"

#include <assert.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/map.h"
#include "base/strv.h"

#define MUST(expr)                                                                                 \
	do {                                                                                       \
		if (!(expr)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #expr);                 \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

char *tree_temp(void)
{
	char *path = xstrdup("/tmp/archive-test-XXXXXX");

	MUST(mkdtemp(path));
	MUST(chmod(path, 0755) == 0);
	return path;
}

void tree_remove(char *take_path)
{
	struct err *e = remove_tree(take_path);

	MUST(!e);
	free(take_path);
}

static void make_line(const char *root, char *line)
{
	char kind = line[0], *name = line + 2;
	char *rest = strchr(name, ' ');
	autofree char *path = NULL, *other = NULL;

	MUST(rest);
	*rest++ = '\0';
	path = path_join(root, name);
	if (kind == 'd') {
		MUST(mkdir(path, 0700) == 0 && chmod(path, (mode_t)strtoul(rest, NULL, 8)) == 0);
	} else if (kind == 'f') {
		mode_t mode = (mode_t)strtoul(rest, &rest, 8);
		FILE *f = fopen(path, "wx");

		MUST(f && *rest == ' ' && fputs(rest + 1, f) >= 0 && fclose(f) == 0);
		MUST(chmod(path, mode) == 0);
	} else if (kind == 'l') {
		MUST(symlink(rest, path) == 0);
	} else if (kind == 'h') {
		other = path_join(root, rest);
		MUST(link(other, path) == 0);
	} else if (kind == 'c') {
		unsigned major = (unsigned)strtoul(rest, &rest, 10);

		MUST(mknod(path, S_IFCHR | 0600,
			     makedev(major, (unsigned)strtoul(rest, NULL, 10))) == 0);
	} else if (kind == 'p') {
		MUST(mkfifo(path, (mode_t)strtoul(rest, NULL, 8)) == 0);
	} else {
		MUST(!"a kind of line");
	}
}

void tree_make(const char *root, const char *lines)
{
	autoval(strv) list = STRV_INIT;

	strv_split(&list, lines, '\n');
	for (size_t i = 0; i < list.n; i++)
		if (*list.items[i])
			make_line(root, list.items[i]);
}

static struct strv found; /* nftw(3) has no argument for its callback */

static int note(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (ftw->level > 0)
		strv_add(&found, path);
	return 0;
}

static void walk(const char *root)
{
	strv_done(&found);
	found = STRV_INIT;
	MUST(nftw(root, note, 32, FTW_PHYS) == 0);
	strv_sort(&found);
}

static void describe(const char *root, const char *path, struct map *inodes, struct buf *out)
{
	const char *name = path + strlen(root) + 1;
	autofree char *key = NULL, *text = NULL;
	char link[4096] = {0};
	struct stat st;
	const char *first;
	size_t len;
	bool ok = true;

	MUST(lstat(path, &st) == 0);
	key = xasprintf("%lx", (unsigned long)st.st_ino);
	first = S_ISDIR(st.st_mode) ? NULL : map_get(inodes, key);
	if (!first)
		map_set(inodes, key, (char *)name);
	if (first)
		ok = buf_printf(out, "h %s %s\n", name, first);
	else if (S_ISDIR(st.st_mode))
		ok = buf_printf(out, "d %s %o\n", name, st.st_mode & 07777);
	else if (S_ISLNK(st.st_mode))
		ok = readlink(path, link, sizeof(link) - 1) >= 0 &&
		     buf_printf(out, "l %s %s\n", name, link);
	else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		ok = buf_printf(out, "%c %s %u %u\n", S_ISCHR(st.st_mode) ? 'c' : 'b', name,
			major(st.st_rdev), minor(st.st_rdev));
	else if (S_ISFIFO(st.st_mode))
		ok = buf_printf(out, "p %s %o\n", name, st.st_mode & 07777);
	else
		ok = !file_read(path, 1 << 20, &text, &len) &&
		     buf_printf(out, "f %s %o %s\n", name, st.st_mode & 07777, text);
	MUST(ok);
}

char *tree_describe(const char *root)
{
	struct buf out = BUF_INIT((size_t)1 << 26);
	struct map inodes = MAP_INIT;

	walk(root);
	for (size_t i = 0; i < found.n; i++)
		describe(root, found.items[i], &inodes, &out);
	map_done(&inodes, NULL);
	strv_done(&found);
	found = STRV_INIT;
	return buf_take(&out, NULL);
}

static void describe_xattrs(const char *path, struct buf *out)
{
	char names[4096], value[4096];
	autoval(strv) sorted = STRV_INIT;
	ssize_t n = llistxattr(path, names, sizeof(names));

	for (const char *p = names; p < names + n; p += strlen(p) + 1)
		strv_add(&sorted, p);
	strv_sort(&sorted);
	for (size_t i = 0; i < sorted.n; i++) {
		ssize_t len = lgetxattr(path, sorted.items[i], value, sizeof(value));

		MUST(len >= 0 && buf_printf(out, " %s=", sorted.items[i]));
		for (ssize_t k = 0; k < len; k++)
			MUST(buf_printf(out, "%02x", (uint8_t)value[k]));
	}
}

char *tree_describe_all(const char *root)
{
	struct buf out = BUF_INIT((size_t)1 << 26);

	walk(root);
	for (size_t i = 0; i < found.n; i++) {
		struct stat st;

		MUST(lstat(found.items[i], &st) == 0);
		MUST(buf_printf(&out, "%s %o %u:%u %lld %lld %u", found.items[i] + strlen(root) + 1,
			st.st_mode, st.st_uid, st.st_gid,
			S_ISDIR(st.st_mode) ? 0LL : (long long)st.st_size,
			(long long)st.st_mtim.tv_sec, (unsigned)st.st_nlink));
		describe_xattrs(found.items[i], &out);
		MUST(buf_printf(&out, "\n"));
	}
	strv_done(&found);
	found = STRV_INIT;
	return buf_take(&out, NULL);
}
