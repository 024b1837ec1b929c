// SPDX-License-Identifier: Apache-2.0
#include "worker/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fs.h"
#include "worker/syscalls.h"

#define FILES_MAX 8192 /* a walk holds two for each level of a path of 4096 bytes */
#define MEMORY_MAX ((rlim_t)1 << 30)
#define CAP(name) ((uint64_t)1 << CAP_##name)

/* SYS_ADMIN is what the kernel asks for to set trusted.* and security.* xattrs; the calls that make
 * it dangerous are not among those of the role. */
static const uint64_t role_capabilities[] = {
	[CONFINE_APPLY] = CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FOWNER) | CAP(FSETID) | CAP(MKNOD) |
			  CAP(SETFCAP) | CAP(SYS_ADMIN),
	[CONFINE_DIFF] = CAP(DAC_READ_SEARCH),
	[CONFINE_ARCHIVE] = 0,
};

struct err *confine_lifetime(int64_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_sys(errno, "confine: die with the parent");
	if (parent && getppid() != parent)
		return err_new(ERR_CANCELLED, "the daemon is gone");
	return NULL;
}

/* Under a chroot "/" is no mount that could be made private. Entering the namespace once more leads
 * to its real root, and the directory that was kept open leads back. */
static struct err *make_private_outside(void)
{
	autofd root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	autofd self = pidfd_open(getpid(), 0);

	if (root < 0 || self < 0 || setns(self, CLONE_NEWNS) < 0)
		return err_sys(errno, "confine: look behind the chroot");
	if (mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(errno, "confine: private mounts");
	if (fchdir(root) < 0 || chroot(".") < 0)
		return err_sys(errno, "confine: return to the chroot");
	return NULL;
}

struct err *confine_namespaces(void)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		return err_sys(errno, "confine: namespaces of its own");
	if (mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		return NULL;
	return errno == EINVAL ? make_private_outside() : err_sys(errno, "confine: private mounts");
}

struct err *confine_root(const char *dir)
{
	if (chdir(dir) < 0)
		return err_sys(errno, "confine: enter %s", dir);
	/* The old root is put on top of the new one, and taken off. */
	if (syscall(SYS_pivot_root, ".", ".") == 0) {
		if (umount2(".", MNT_DETACH) < 0)
			return err_sys(errno, "confine: detach the old root");
	} else if (errno == EINVAL || errno == EPERM) {
		/* Under a chroot, or on the first root file system. What is left can be reached only by
		 * calls that the process is going to lose. */
		if (chroot(".") < 0)
			return err_sys(errno, "confine: change root");
	} else {
		return err_sys(errno, "confine: pivot root");
	}
	return chdir("/") < 0 ? err_sys(errno, "confine: enter the root") : NULL;
}

bool confine_is_user_namespace(void)
{
	unsigned long inside = 0, outside = 0, count = 0;
	autofree char *text = NULL;

	err_free(file_read("/proc/self/uid_map", 4096, &text, NULL));
	if (!text || sscanf(text, "%lu %lu %lu", &inside, &outside, &count) != 3)
		return false;
	return inside != 0 || outside != 0 || count != 4294967295;
}

static struct err *set_limit(int resource, const char *name, rlim_t most)
{
	struct rlimit l;

	if (getrlimit(resource, &l) < 0)
		return err_sys(errno, "confine: limit of %s", name);
	l.rlim_max = MIN(l.rlim_max, most);
	l.rlim_cur = l.rlim_max;
	if (setrlimit(resource, &l) < 0)
		return err_sys(errno, "confine: limit of %s", name);
	return NULL;
}

static struct err *set_limits(void)
{
	/* One heap for all threads: they hardly ever allocate. */
	mallopt(M_ARENA_MAX, 1);
	TRY(set_limit(RLIMIT_CORE, "core files", 0));
	TRY(set_limit(RLIMIT_NOFILE, "files", FILES_MAX));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	TRY(set_limit(RLIMIT_DATA, "memory", MEMORY_MAX));
#endif
	return NULL;
}

static struct err *drop_capabilities(uint64_t keep)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	if (syscall(SYS_capget, &header, data) < 0)
		return err_sys(errno, "confine: read the capabilities");
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	/* Without SETPCAP this is refused, and does not matter: nothing can be executed. */
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!(keep >> cap & 1))
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(keep >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return err_sys(errno, "confine: drop the capabilities");
	return NULL;
}

struct err *confine_process(enum confine_role role)
{
	TRY(set_limits());
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(errno, "confine: no new privileges");
	TRY(drop_capabilities(role_capabilities[role]));
	return syscalls_confine(role == CONFINE_APPLY);
}
