// SPDX-License-Identifier: Apache-2.0
#include "sys/mount-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "sys/id-map.h"
#include "sys/loop.h"

#define MOUNT_DATA_MAX 4095	/* mount(2) copies one page with its NUL */
#define FSCONFIG_STRING_MAX 255 /* fsconfig(2) takes a string of 256 bytes with its NUL */
#define PROC_FD_PATH 32

/* Set once a kernel took by mount(2) what it refused as "lowerdir+" (before 6.5). */
static atomic_bool overlay_lacks_append;

static const struct {
	unsigned long flag;
	uint64_t attr;
} mount_attrs[] = {
	{MS_RDONLY, MOUNT_ATTR_RDONLY},
	{MS_NOSUID, MOUNT_ATTR_NOSUID},
	{MS_NODEV, MOUNT_ATTR_NODEV},
	{MS_NOEXEC, MOUNT_ATTR_NOEXEC},
	{MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
};

/* Superblock flags go through fsconfig, the others belong to the mount. */
static const struct {
	unsigned long flag;
	const char *key;
} superblock_flags[] = {
	{MS_RDONLY, "ro"},
	{MS_SYNCHRONOUS, "sync"},
	{MS_DIRSYNC, "dirsync"},
};

static uint64_t attrs_of(unsigned long flags)
{
	uint64_t attrs = 0;

	for (size_t i = 0; i < ARRAY_LEN(mount_attrs); i++) {
		if (flags & mount_attrs[i].flag)
			attrs |= mount_attrs[i].attr;
	}
	/* One of three, and the strict one wins, as with mount(2). */
	if (flags & MS_STRICTATIME)
		attrs |= MOUNT_ATTR_STRICTATIME;
	else if (flags & MS_NOATIME)
		attrs |= MOUNT_ATTR_NOATIME;
	return attrs;
}

static void proc_fd_path(int fd, char ret[static PROC_FD_PATH])
{
	snprintf(ret, PROC_FD_PATH, "/proc/self/fd/%d", fd);
}

/* What the kernel has to say about a context, its errors joined; "" for nothing. */
static char *context_log(int context)
{
	autoval(buf) b = BUF_INIT(2048);
	char line[512];
	ssize_t n;

	while ((n = read(context, line, sizeof(line))) > 0) {
		if (n < 3 || (line[0] != 'e' && line[0] != 'w'))
			continue;
		if (line[n - 1] == '\n')
			n--;
		if (!buf_printf(&b, "%s%.*s", b.len ? "; " : "", (int)n - 2, line + 2))
			break;
	}
	return buf_take(&b, NULL);
}

static struct err *context_err(int context, int errnum, const struct mount *m, const char *what)
{
	autofree char *said = context_log(context);

	return err_sys(errnum, "mount %s: %s%s%s", m->type, what, *said ? ": " : "", said);
}

static struct err *string_err(
	int context, int errnum, const struct mount *m, const char *key, const char *value)
{
	autofree char *what = xasprintf("%s=%s", key, value);

	return context_err(context, errnum, m, what);
}

static struct err *set_string(
	int context, const struct mount *m, const char *key, const char *value)
{
	if (fsconfig(context, FSCONFIG_SET_STRING, key, value, 0) == 0)
		return NULL;
	return string_err(context, errno, m, key, value);
}

/* A directory of an overlay: by name, and by descriptor when the name is too long for a string. */
static struct err *set_dir(int context, const struct mount *m, const char *key, const char *dir)
{
	autofd fd = -1;

	if (strlen(dir) <= FSCONFIG_STRING_MAX)
		return set_string(context, m, key, dir);
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(errno, "mount %s: open %s", m->type, dir);
	if (fsconfig(context, FSCONFIG_SET_FD, key, NULL, fd) == 0)
		return NULL;
	return string_err(context, errno, m, key, dir);
}

static struct err *set_lowerdirs(int context, const struct mount *m, const char *value)
{
	autoval(strv) dirs = STRV_INIT;
	autoval(strv) data = STRV_INIT;

	mount_split_lowerdirs(value, &dirs, &data);
	for (size_t i = 0; i < dirs.n; i++)
		TRY(set_dir(context, m, "lowerdir+", dirs.items[i]));
	for (size_t i = 0; i < data.n; i++)
		TRY(set_dir(context, m, "datadir+", data.items[i]));
	return NULL;
}

static struct err *set_option(int context, const struct mount *m, const char *option)
{
	const char *equals = strchr(option, '=');
	autofree char *key = NULL;

	if (!equals) {
		if (fsconfig(context, FSCONFIG_SET_FLAG, option, NULL, 0) == 0)
			return NULL;
		return context_err(context, errno, m, option);
	}
	key = xstrndup(option, (size_t)(equals - option));
	if (str_eq(m->type, "overlay") && strcmp(key, "lowerdir") == 0)
		return set_lowerdirs(context, m, equals + 1);
	return set_string(context, m, key, equals + 1);
}

static struct err *configure(int context, const struct mount *m, const struct mount_plan *p)
{
	if (!str_empty(m->source))
		TRY(set_string(context, m, "source", m->source));
	for (size_t i = 0; i < ARRAY_LEN(superblock_flags); i++) {
		const char *key = superblock_flags[i].key;

		if ((p->flags & superblock_flags[i].flag) &&
			fsconfig(context, FSCONFIG_SET_FLAG, key, NULL, 0) < 0)
			return context_err(context, errno, m, key);
	}
	for (size_t i = 0; i < p->data.n; i++)
		TRY(set_option(context, m, p->data.items[i]));
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return context_err(context, errno, m, str_or(m->source, ""));
	return NULL;
}

static struct err *attach_tree(int tree, int target_fd, const struct mount *m)
{
	if (move_mount(tree, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) <
		0)
		return err_sys(errno, "mount %s", m->type);
	return NULL;
}

/* The mount must not be anywhere yet. */
static struct err *map_ids(
	int tree, const struct mount *m, const struct mount_plan *p, int userns_fd)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_IDMAP,
		.userns_fd = (uint64_t)userns_fd,
	};
	unsigned recursive = p->flags & MS_REC ? AT_RECURSIVE : 0;

	if (userns_fd < 0 ||
		mount_setattr(tree, "", AT_EMPTY_PATH | recursive, &attr, sizeof(attr)) == 0)
		return NULL;
	return err_sys(errno, "mount %s %s: map its ids", m->type, str_or(m->source, ""));
}

static struct err *make_by_context(const struct mount *m, const struct mount_plan *p, int userns_fd,
	int target_fd, int *ret_tree)
{
	autofd context = fsopen(m->type, FSOPEN_CLOEXEC);
	autofd tree = -1;

	if (context < 0)
		return err_sys(errno, "mount: file system \"%s\"", m->type);
	TRY(configure(context, m, p));
	tree = fsmount(context, FSMOUNT_CLOEXEC, (unsigned)attrs_of(p->flags));
	if (tree < 0)
		return context_err(context, errno, m, str_or(m->source, ""));
	TRY(map_ids(tree, m, p, userns_fd));
	TRY(attach_tree(tree, target_fd, m));
	*ret_tree = TAKE_FD(tree);
	return NULL;
}

static struct err *make_by_clone(const struct mount *m, const struct mount_plan *p, int userns_fd,
	int target_fd, int *ret_tree)
{
	unsigned recursive = p->flags & MS_REC ? AT_RECURSIVE : 0;
	struct mount_attr attr = {.attr_set = attrs_of(p->flags)};
	autofd tree = -1;

	if (p->clears_atime)
		attr.attr_clr = MOUNT_ATTR__ATIME;
	tree = open_tree(
		AT_FDCWD, str_or(m->source, ""), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
	if (tree < 0)
		return err_sys(errno, "bind mount %s", str_or(m->source, "\"\""));
	if ((attr.attr_set || attr.attr_clr) &&
		mount_setattr(tree, "", AT_EMPTY_PATH | (p->is_recursive_ro ? recursive : 0), &attr,
			sizeof(attr)) < 0)
		return err_sys(errno, "bind mount %s: set its attributes", m->source);
	TRY(map_ids(tree, m, p, userns_fd));
	TRY(attach_tree(tree, target_fd, m));
	*ret_tree = TAKE_FD(tree);
	return NULL;
}

/* Short names for the lower directories of an overlay whose options do not fit into a page. The
 * descriptors are the caller's to close. */
static struct err *shorten_lowerdirs(const char *value, struct strv *data, int **ret_fds, size_t *n)
{
	autoval(strv) dirs = STRV_INIT;
	autoval(strv) data_dirs = STRV_INIT;
	autoval(strv) names = STRV_INIT;
	autofree char *joined = NULL;

	mount_split_lowerdirs(value, &dirs, &data_dirs);
	if (data_dirs.n)
		return err_new(ERR_INVALID, "mount overlay: options larger than a page");
	*ret_fds = xcalloc(dirs.n + 1, sizeof(int));
	for (*n = 0; *n < dirs.n; (*n)++) {
		int fd = open(dirs.items[*n], O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			return err_sys(errno, "mount overlay: open %s", dirs.items[*n]);
		(*ret_fds)[*n] = fd;
		strv_addf(&names, "/proc/self/fd/%d", fd);
	}
	joined = strv_join(&names, ":");
	strv_addf(data, "lowerdir=%s", joined);
	return NULL;
}

static struct err *shorten_data(const struct mount_plan *p, struct strv *data, int **fds, size_t *n)
{
	for (size_t i = 0; i < p->data.n; i++) {
		const char *option = p->data.items[i];

		if (str_starts(option, "lowerdir=") && !*fds)
			TRY(shorten_lowerdirs(option + strlen("lowerdir="), data, fds, n));
		else
			strv_add(data, option);
	}
	return NULL;
}

static struct err *call_mount(
	const struct mount *m, const char *target, unsigned long flags, const struct strv *options)
{
	autofree char *data = strv_join(options, ",");

	if (strlen(data) > MOUNT_DATA_MAX)
		return err_new(ERR_INVALID, "mount %s: mount options is too long", m->type);
	if (mount(str_or(m->source, ""), target, str_or(m->type, ""), flags, data) < 0)
		return err_sys(errno, "mount %s: source \"%s\"", m->type, str_or(m->source, ""));
	return NULL;
}

static struct err *make_overlay_by_mount(
	const struct mount *m, const struct mount_plan *p, const char *target)
{
	autofree char *data = strv_join(&p->data, ",");
	autoval(strv) options = STRV_INIT;
	autofree int *fds = NULL;
	size_t n = 0;
	struct err *e;

	if (strlen(data) <= MOUNT_DATA_MAX)
		return call_mount(m, target, p->flags, &p->data);
	e = shorten_data(p, &options, &fds, &n);
	if (!e)
		e = call_mount(m, target, p->flags, &options);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	return e;
}

/* The kernel ignores every flag on a bind but MS_REC; they need a second call. */
static struct err *remount_bind(const struct mount *m, const struct mount_plan *p, int top_fd)
{
	unsigned long keep = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME |
			     MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME;
	char path[PROC_FD_PATH];

	if (!(p->flags & keep))
		return NULL;
	proc_fd_path(top_fd, path);
	if (mount("", path, "", (p->flags & keep) | MS_BIND | MS_REMOUNT, NULL) < 0)
		return err_sys(errno, "bind mount %s: set its flags", m->source);
	return NULL;
}

static struct err *make_by_mount(const struct mount *m, const struct mount_plan *p,
	const struct mount_target *target, int target_fd, int *ret_top)
{
	char path[PROC_FD_PATH];

	proc_fd_path(target_fd, path);
	if (str_eq(m->type, "overlay"))
		TRY(make_overlay_by_mount(m, p, path));
	else if (!(p->flags & MS_BIND) || (p->flags & MS_REMOUNT))
		TRY(call_mount(m, path, p->flags, &p->data));
	else if (mount(str_or(m->source, ""), path, "", p->flags & (MS_BIND | MS_REC), NULL) < 0)
		return err_sys(errno, "bind mount %s", str_or(m->source, "\"\""));
	TRY(mount_target_open(target, ret_top));
	if ((p->flags & MS_BIND) && !(p->flags & MS_REMOUNT))
		TRY(remount_bind(m, p, *ret_top));
	return NULL;
}

/* Whether mount(2) may manage what the new calls did not: they are missing altogether, or do not
 * know an overlay's "lowerdir+" or its long paths yet. */
static bool is_worth_mount2(const struct mount *m, const struct err *e)
{
	int errnum = err_errno(e);

	return errnum == ENOSYS || (str_eq(m->type, "overlay") && errnum == EINVAL);
}

static struct err *make_new(const struct mount *m, const struct mount_plan *p, int userns_fd,
	int target_fd, int *ret_top)
{
	if (p->flags & MS_BIND)
		return make_by_clone(m, p, userns_fd, target_fd, ret_top);
	return make_by_context(m, p, userns_fd, target_fd, ret_top);
}

struct err *mount_make_plain(const struct mount *m, const struct mount_plan *p,
	const struct mount_target *target, int userns_fd)
{
	bool is_overlay = str_eq(m->type, "overlay");
	autofd target_fd = -1;
	autofd top_fd = -1;
	autoptr(err) first = NULL;
	struct err *second;

	TRY(mount_target_open(target, &target_fd));
	if (!(p->flags & MS_REMOUNT) && !(is_overlay && atomic_load(&overlay_lacks_append))) {
		first = make_new(m, p, userns_fd, target_fd, &top_fd);
		/* mount(2) knows no ids. */
		if (!first || userns_fd >= 0 || !is_worth_mount2(m, first))
			return TAKE(first);
	}
	second = make_by_mount(m, p, target, target_fd, &top_fd);
	if (!second && first && is_overlay)
		atomic_store(&overlay_lacks_append, true);
	/* The first has the kernel's own words. */
	if (second && first && err_errno(first) == err_errno(second)) {
		err_free(second);
		return TAKE(first);
	}
	return second;
}

struct err *mount_set_propagation(
	const struct mount *m, const struct mount_plan *p, const struct mount_target *target)
{
	struct mount_attr attr = {.propagation = p->propagation & ~(unsigned long)MS_REC};
	unsigned recursive = p->propagation & MS_REC ? AT_RECURSIVE : 0;
	char path[PROC_FD_PATH];
	autofd top_fd = -1;

	if (!p->propagation)
		return NULL;
	TRY(mount_target_open(target, &top_fd));
	if (mount_setattr(top_fd, "", AT_EMPTY_PATH | recursive, &attr, sizeof(attr)) == 0)
		return NULL;
	proc_fd_path(top_fd, path);
	if (errno == ENOSYS && mount("", path, "", p->propagation, NULL) == 0)
		return NULL;
	return err_sys(errno, "mount %s: set its propagation", m->type);
}

/* --- with what it needs --- */

static struct err *open_userns(const struct mount_plan *p, int *ret)
{
	autofree struct id_map *uids = NEW(struct id_map);
	autofree struct id_map *gids = NEW(struct id_map);

	if (!p->uidmap || !p->gidmap)
		return NULL;
	TRY(id_map_parse(p->uidmap, uids));
	TRY(id_map_parse(p->gidmap, gids));
	return id_map_open(uids, gids, ret);
}

static struct err *open_loop(
	const struct mount *m, const struct mount_plan *p, int *ret, char **ret_device)
{
	struct loop_options options = {
		.is_readonly = p->flags & MS_RDONLY,
		.is_direct = p->has_direct_io,
	};

	if (!p->has_loop || (p->flags & MS_REMOUNT))
		return NULL;
	return loop_attach(str_or(m->source, ""), &options, ret, ret_device);
}

static struct err *make_ready(const struct mount *m, const struct mount_plan *p,
	const struct mount_target *target, int userns_fd)
{
	if (mount_needs_helpers(m, p, userns_fd))
		return mount_make_with_helpers(m, p, target, userns_fd);
	return mount_make_plain(m, p, target, userns_fd);
}

struct err *mount_make(
	const struct mount *m, const struct mount_plan *p, const struct mount_target *target)
{
	struct mount ready = *m; /* borrows */
	autofree char *device = NULL;
	autofd loop_fd = -1;
	autofd userns_fd = -1;
	struct err *e;

	TRY(open_userns(p, &userns_fd));
	TRY(open_loop(m, p, &loop_fd, &device));
	if (device)
		ready.source = device;
	TRY(make_ready(&ready, p, target, userns_fd));
	e = mount_set_propagation(m, p, target);
	if (e && !(p->flags & MS_REMOUNT))
		mount_target_detach(target);
	return e;
}
