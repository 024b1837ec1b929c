// SPDX-License-Identifier: Apache-2.0
#include "sys/mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "sys/mount-internal.h"
#include "sys/mountinfo.h"

#define STACKED_MAX 1024 /* far more than anybody stacks; ends a loop that makes no progress */

static void mount_done(struct mount *m)
{
	free(m->type);
	free(m->source);
	free(m->target);
	strv_done(&m->options);
}

void mounts_done(struct mounts *m)
{
	for (size_t i = 0; i < m->n; i++)
		mount_done(&m->items[i]);
	free(m->items);
	*m = MOUNTS_INIT;
}

struct mount *mounts_add(struct mounts *m, const char *type, const char *source, const char *target)
{
	GROW(m->items, m->n, m->cap);
	m->items[m->n] = (struct mount){
		.type = xstrdup(str_or(type, "")),
		.source = xstrdup(str_or(source, "")),
		.target = xstrdup(str_or(target, "")),
	};
	return &m->items[m->n++];
}

void mounts_copy(struct mounts *to, const struct mounts *from)
{
	struct mounts fresh = MOUNTS_INIT;

	for (size_t i = 0; i < from->n; i++) {
		const struct mount *m = &from->items[i];

		strv_add_all(
			&mounts_add(&fresh, m->type, m->source, m->target)->options, &m->options);
	}
	mounts_done(to);
	*to = fresh;
}

struct err *mount_target_open(const struct mount_target *t, int *ret_fd)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	autofd base = open(t->base, O_PATH | O_CLOEXEC);
	int fd;

	if (base < 0)
		return err_sys(errno, "mount point %s", t->base);
	if (!*t->below) {
		*ret_fd = TAKE_FD(base);
		return NULL;
	}
	fd = (int)syscall(SYS_openat2, base, t->below, &how, sizeof(how));
	if (fd < 0)
		return err_sys(errno, "mount point %s in %s", t->below, t->base);
	*ret_fd = fd;
	return NULL;
}

void mount_target_detach(const struct mount_target *t)
{
	autofree char *path = NULL;
	autofd fd = -1;

	err_free(mount_target_open(t, &fd));
	if (fd < 0)
		return;
	path = xasprintf("/proc/self/fd/%d", fd);
	umount2(path, MNT_DETACH);
}

/* Take off what was mounted last at each target, from the last mount to the first. */
static void undo(const struct mounts *m, size_t n, const char *target)
{
	while (n--) {
		struct mount_target t = {target, m->items[n].target};

		mount_target_detach(&t);
	}
}

struct err *mounts_attach(const struct mounts *m, const char *target)
{
	for (size_t i = 0; i < m->n; i++) {
		struct mount_target t = {target, m->items[i].target};
		autoval(mount_plan) plan = {0};
		struct err *e = mount_plan_parse(&m->items[i], &plan);

		if (!e)
			e = mount_make(&m->items[i], &plan, &t);
		if (e) {
			undo(m, i, target);
			return err_wrap(e, "mount at %s", target);
		}
	}
	return NULL;
}

/* Unmount what is stacked exactly there, and tell whether there was anything. */
static struct err *detach_stack(const char *path, bool *ret_any)
{
	*ret_any = false;
	for (int i = 0; i < STACKED_MAX; i++) {
		if (umount2(path, UMOUNT_NOFOLLOW) < 0) {
			if (errno == EINVAL || errno == ENOENT || errno == ENOTDIR)
				return NULL;
			if (errno != EBUSY || umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH) < 0)
				return err_sys(errno, "unmount %s", path);
		}
		*ret_any = true;
	}
	return err_new(ERR_INTERNAL, "unmount %s: more than %d mounts there", path, STACKED_MAX);
}

/* Nothing can be mounted below what is no directory or is empty. */
static bool may_have_mounts_below(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;
	bool found = false;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return fd >= 0;
	}
	while (!found && (d = readdir(dir)))
		found = strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
	closedir(dir);
	return found;
}

static struct err *detach_below(const char *path)
{
	autofree char *real = realpath(path, NULL);
	autoval(strv) points = STRV_INIT;

	if (!real)
		return errno == ENOENT ? NULL : err_sys(errno, "unmount %s", path);
	TRY(mountinfo_below(real, &points));
	/* Parents are listed before what is mounted on them. */
	for (size_t i = points.n; i-- > 0;) {
		bool any;

		TRY(detach_stack(points.items[i], &any));
	}
	return NULL;
}

struct err *mount_detach(const char *path)
{
	bool any;

	TRY(detach_stack(path, &any));
	/* What was mounted below a mount went with it. */
	if (any || !may_have_mounts_below(path))
		return NULL;
	return detach_below(path);
}

struct err *mount_is_point(const char *path, bool *ret)
{
	struct statx sx;
	autofree char *real = NULL;
	autoval(strv) points = STRV_INIT;

	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &sx) < 0) {
		*ret = false;
		return errno == ENOENT ? NULL : err_sys(errno, "stat %s", path);
	}
	if (sx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) {
		*ret = sx.stx_attributes & STATX_ATTR_MOUNT_ROOT;
		return NULL;
	}
	*ret = false;
	if (S_ISLNK(sx.stx_mode))
		return NULL;
	real = realpath(path, NULL);
	if (!real)
		return err_sys(errno, "resolve %s", path);
	TRY(mountinfo_below(real, &points));
	*ret = strv_has(&points, real);
	return NULL;
}

bool mount_fs_supported(const char *fstype)
{
	/* Asks the kernel for the type, which loads its module. */
	autofd context = fsopen(fstype, FSOPEN_CLOEXEC);
	autofree char *text = NULL;
	autofree char *word = xasprintf("\t%s\n", fstype);

	if (context >= 0)
		return true;
	if (errno == ENODEV)
		return false;
	err_free(file_read("/proc/filesystems", 65536, &text, NULL));
	return text && strstr(text, word);
}
