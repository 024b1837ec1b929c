// SPDX-License-Identifier: Apache-2.0
/* Files of a rootfs that is not ours: paths are resolved inside it, sizes are bounded. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fs.h"
#include "client/containers-internal.h"
#include "sys/mount.h"

#define ACCOUNT_FILE_MAX ((size_t)4 << 20)

void account_files_done(struct account_files *f)
{
	free(f->passwd);
	free(f->group);
	*f = (struct account_files){0};
}

static struct err *read_in_root(int root, const char *path, char **ret)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	autofd fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	struct stat st;
	size_t len;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return NULL;
	if (fd < 0)
		return err_sys(errno, "open %s of the container", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_new(ERR_INVALID, "%s of the container is not a file", path);
	return err_wrap(fd_read_all(fd, ACCOUNT_FILE_MAX, ret, &len), "%s of the container", path);
}

struct err *account_files_read_path(const char *path, struct account_files *ret)
{
	autofd root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return err_sys(errno, "open rootfs %s", path);
	TRY(read_in_root(root, "/etc/passwd", &ret->passwd));
	return read_in_root(root, "/etc/group", &ret->group);
}

/* The same files without writing: an overlay's upper directory becomes the topmost lower one. */
static void read_only_overlay(struct mount *to, const struct ctd_mount *m)
{
	const char *upper = NULL, *lower = NULL;

	for (size_t i = 0; i < m->options.n; i++) {
		const char *option = m->options.items[i];

		if (str_starts(option, "upperdir="))
			upper = option + strlen("upperdir=");
		else if (str_starts(option, "lowerdir="))
			lower = option + strlen("lowerdir=");
		else if (!str_starts(option, "workdir=") && strcmp(option, "rw") != 0 &&
			 strcmp(option, "volatile") != 0)
			strv_add(&to->options, option);
	}
	if (upper && lower)
		strv_addf(&to->options, "lowerdir=%s:%s", upper, lower);
	else if (lower)
		strv_addf(&to->options, "lowerdir=%s", lower);
	strv_add(&to->options, "ro");
}

static void read_only(struct mounts *to, struct ctd_mounts from)
{
	for (size_t i = 0; i < from.n; i++) {
		const struct ctd_mount *m = &from.items[i];
		struct mount *added = mounts_add(to, m->type, m->source, m->target);

		if (str_eq(m->type, "overlay")) {
			read_only_overlay(added, m);
			continue;
		}
		for (size_t j = 0; j < m->options.n; j++) {
			if (strcmp(m->options.items[j], "rw") != 0)
				strv_add(&added->options, m->options.items[j]);
		}
		strv_add(&added->options, "ro");
	}
}

struct err *account_files_read(struct ctd_mounts rootfs, struct account_files *ret)
{
	autoval(mounts) mounts = MOUNTS_INIT;
	const char *parent = str_or(getenv("TMPDIR"), "/tmp");
	autofree char *dir = xasprintf("%s/containerd-mountXXXXXX", parent);

	if (rootfs.n == 1 && str_eq(rootfs.items[0].type, "bind"))
		return account_files_read_path(rootfs.items[0].source, ret);
	if (!mkdtemp(dir))
		return err_sys(errno, "mkdtemp %s", dir);
	read_only(&mounts, rootfs);
	struct err *e = mounts_attach(&mounts, dir);
	if (!e) {
		e = account_files_read_path(dir, ret);
		err_free(mount_detach(dir));
	} else {
		e = err_wrap(e, "mount the container's rootfs to read its /etc/passwd");
	}
	rmdir(dir);
	return e;
}
