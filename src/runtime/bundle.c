// SPDX-License-Identifier: Apache-2.0
#include "runtime/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/strv.h"
#include "sys/mount.h"

/* The group that uid 0 of the container's user namespace is on the host; 0 without one. */
static struct err *remapped_gid(const struct any *spec, gid_t *ret)
{
	autoptr(json_object) o = NULL;
	struct json_object *maps;

	*ret = 0;
	if (!memmem(spec->value, spec->len, "gidMappings", strlen("gidMappings")))
		return NULL;
	TRY(json_parse((const char *)spec->value, spec->len, &o));
	maps = json_find(o, "linux.gidMappings");
	if (!json_object_is_type(maps, json_type_array))
		return NULL;
	for (size_t i = 0; i < json_object_array_length(maps); i++) {
		struct json_object *m = json_object_array_get_idx(maps, i);

		if (json_object_get_int64(json_find(m, "containerID")))
			continue;
		*ret = (gid_t)json_object_get_int64(json_find(m, "hostID"));
		break;
	}
	return NULL;
}

/* Lets the root user of the container's namespace pass through to its rootfs. */
static struct err *set_owner(const char *path, const struct any *spec)
{
	gid_t gid;

	if (!spec || !spec->type_url || !str_ends(spec->type_url, "runtime-spec/1/Spec"))
		return NULL;
	TRY(err_wrap(remapped_gid(spec, &gid), "spec"));
	if (!gid)
		return NULL;
	if (chown(path, (uid_t)-1, gid) < 0 || chmod(path, 0710) < 0)
		return err_sys(errno, "set owner of %s", path);
	return NULL;
}

static struct err *make_dir(const char *path, mode_t mode)
{
	return mkdir(path, mode) < 0 ? err_sys(errno, "mkdir %s", path) : NULL;
}

/* The directory has a hidden name meanwhile. */
static struct err *fill(const char *path, const char *work, const struct any *spec)
{
	autofree char *rootfs = path_join(path, "rootfs");
	autofree char *link = path_join(path, "work");
	autofree char *config = path_join(path, "config.json");

	TRY(make_dir(path, 0700));
	TRY(set_owner(path, spec));
	TRY(make_dir(rootfs, 0711));
	TRY(remove_tree(work));
	TRY(make_dir(work, 0711));
	if (symlink(work, link) < 0)
		return err_sys(errno, "symlink %s", link);
	if (!spec || !spec->len)
		return NULL;
	return err_wrap(file_write_atomic(config, spec->value, spec->len, 0644, false),
		"write bundle spec");
}

/* "<directory>/.<name>", which no task can have. */
static char *hidden_path(const char *path)
{
	autofree char *dir = path_dir(path);

	return xasprintf("%s/.%s", dir, path_base(path));
}

static struct err *remove_hidden(const char *path)
{
	autofree char *rootfs = path_join(path, "rootfs");

	TRY(mount_detach(rootfs));
	return remove_tree(path);
}

static struct err *publish(const char *hidden, const char *path)
{
	/* An empty directory of that name would be replaced in silence. */
	if (access(path, F_OK) == 0)
		return err_sys(EEXIST, "mkdir %s", path);
	return rename(hidden, path) < 0 ? err_sys(errno, "mkdir %s", path) : NULL;
}

struct err *bundle_create(const char *root, const char *state, const char *ns, const char *id,
	const struct any *spec, char **ret_path)
{
	autofree char *dir = path_join(state, ns);
	autofree char *path = path_join(dir, id);
	autofree char *hidden = hidden_path(path);
	autofree char *work_dir = path_join(root, ns);
	autofree char *work = path_join(work_dir, id);
	struct err *e;

	if (access(path, F_OK) == 0)
		return err_sys(EEXIST, "mkdir %s", path);
	TRY(mkdir_p(dir, 0711));
	TRY(mkdir_p(work_dir, 0711));
	TRY(remove_hidden(hidden));
	e = fill(hidden, work, spec);
	if (!e)
		e = publish(hidden, path);
	if (e) {
		autoptr(err) left = remove_hidden(hidden);
		autoptr(err) work_left = remove_tree(work);

		return e;
	}
	*ret_path = TAKE(path);
	return NULL;
}

static struct err *hide_and_remove(const char *path)
{
	autofree char *hidden = hidden_path(path);

	TRY(remove_hidden(hidden));
	if (rename(path, hidden) < 0)
		return errno == ENOENT ? NULL : err_sys(errno, "rename %s", path);
	return remove_hidden(hidden);
}

/* Where the link says, provided that it is below our root. */
static char *work_of(const char *root, const char *path)
{
	autofree char *link = path_join(path, "work");
	autofree char *dir = path_dir(path);
	autofree char *expected = xasprintf("%s/%s/%s", root, path_base(dir), path_base(path));
	struct stat st;

	return lstat(link, &st) == 0 && S_ISLNK(st.st_mode) ? TAKE(expected) : NULL;
}

struct err *bundle_delete(const char *root, const char *path)
{
	autofree char *rootfs = path_join(path, "rootfs");
	autofree char *work = work_of(root, path);
	struct err *e;

	TRY(err_wrap(mount_detach(rootfs), "unmount rootfs %s", rootfs));
	e = hide_and_remove(path);
	if (work && !e)
		e = hide_and_remove(work);
	return e;
}

void bundle_sweep(const char *ns_dir)
{
	DIR *dir = opendir(ns_dir);

	if (!dir)
		return;
	for (struct dirent *d; (d = readdir(dir));) {
		autofree char *path = path_join(ns_dir, d->d_name);

		if (d->d_name[0] == '.' && strcmp(d->d_name, ".") != 0 &&
			strcmp(d->d_name, "..") != 0) {
			/* What cannot be removed today is tried again by the next start. */
			autoptr(err) e = remove_hidden(path);
		}
	}
	closedir(dir);
}

char *bundle_read(const char *path, const char *name)
{
	autofree char *file = path_join(path, name);
	char *text = NULL;
	autoptr(err) e = file_read(file, BUNDLE_FILE_MAX, &text, NULL);

	return e ? NULL : text;
}

struct err *bundle_write(const char *path, const char *name, const char *text, mode_t mode)
{
	autofree char *file = path_join(path, name);

	return file_write_atomic(file, text, strlen(text), mode, false);
}
