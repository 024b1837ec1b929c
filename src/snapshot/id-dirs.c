// SPDX-License-Identifier: Apache-2.0
#include "snapshot/id-dirs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/strv.h"

#define STAGING "new-"

struct err *id_dirs_open(const char *root)
{
	autofree char *dir = path_join(root, "snapshots");

	return mkdir_p(dir, 0700);
}

char *id_dir(const char *root, uint64_t id, const char *name)
{
	return xasprintf("%s/snapshots/%llu%s%s", root, (unsigned long long)id, name ? "/" : "",
		name ? name : "");
}

char *id_staging(const char *root, uint64_t id)
{
	return xasprintf("%s/snapshots/" STAGING "%llu", root, (unsigned long long)id);
}

struct err *id_dir_begin(const char *root, uint64_t id, char **ret_staging)
{
	autofree char *staging = id_staging(root, id);

	TRY(id_dir_remove(root, id));
	if (mkdir(staging, 0700) < 0)
		return err_sys(errno, "create directory %s", staging);
	*ret_staging = TAKE(staging);
	return NULL;
}

struct err *id_dir_publish(const char *root, uint64_t id, const char *staging)
{
	autofree char *dir = id_dir(root, id, NULL);

	if (rename(staging, dir) < 0)
		return err_sys(errno, "rename %s", staging);
	return NULL;
}

struct err *id_dir_remove(const char *root, uint64_t id)
{
	autofree char *dir = id_dir(root, id, NULL);
	autofree char *staging = id_staging(root, id);

	TRY(remove_tree(staging));
	return remove_tree(dir);
}

static bool parse_id(const char *name, uint64_t *ret)
{
	char *end;

	if (str_starts(name, STAGING))
		name += strlen(STAGING);
	if (!isdigit((unsigned char)*name))
		return false;
	errno = 0;
	*ret = strtoull(name, &end, 10);
	return !errno && !*end;
}

struct err *id_dirs_walk(const char *root, struct err *(*visit)(uint64_t id, void *arg), void *arg)
{
	autofree char *path = path_join(root, "snapshots");
	DIR *dir = opendir(path);
	struct dirent *d;
	struct err *e = NULL;
	uint64_t id;

	if (!dir)
		return err_sys(errno, "open %s", path);
	while (!e && (d = readdir(dir))) {
		if (parse_id(d->d_name, &id))
			e = visit(id, arg);
	}
	closedir(dir);
	return e;
}
