// SPDX-License-Identifier: Apache-2.0
#include "sys/id-map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/strv.h"

#define ID_INVALID UINT32_MAX /* (uid_t)-1 is nobody's */
#define STACK_BYTES ((size_t)64 * 1024)
#define PAGE_BYTES ((size_t)4096) /* the kernel takes a mapping in one write below that */

/* --- texts --- */

/* Digits up to the given end; moves behind it. */
static bool parse_id(const char **at, char end, uint32_t *ret)
{
	uint64_t value = 0;
	const char *s = *at;

	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		value = value * 10 + (uint64_t)(*s - '0');
		if (value >= ID_INVALID)
			return false;
	}
	if (*s != end)
		return false;
	*at = end ? s + 1 : s;
	*ret = (uint32_t)value;
	return true;
}

static bool parse_range(const char *text, struct id_range *ret)
{
	return parse_id(&text, ':', &ret->container) && parse_id(&text, ':', &ret->host) &&
	       parse_id(&text, '\0', &ret->size);
}

struct err *id_map_parse(const char *text, struct id_map *ret)
{
	autoval(strv) ranges = STRV_INIT;

	ret->n = 0;
	strv_split(&ranges, text, ',');
	if (ranges.n > ID_RANGES_MAX)
		return err_new(ERR_INVALID, "an id mapping has more than %d ranges", ID_RANGES_MAX);
	for (size_t i = 0; i < ranges.n; i++) {
		if (!parse_range(ranges.items[i], &ret->ranges[ret->n++]))
			return err_new(ERR_INVALID, "invalid mapping \"%s\"", ranges.items[i]);
	}
	return ret->n ? NULL : err_new(ERR_INVALID, "invalid mapping \"\"");
}

bool id_map_to_host(const struct id_map *m, uint32_t container, uint32_t *ret)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct id_range *r = &m->ranges[i];
		uint64_t host = (uint64_t)r->host + (container - r->container);

		if (container < r->container || container - r->container >= r->size)
			continue;
		*ret = (uint32_t)host;
		return host < ID_INVALID;
	}
	return false;
}

/* --- the namespace --- */

/* Lives on a stack of its own in our memory, so it calls nothing but the kernel. */
__attribute__((no_sanitize("address", "undefined"))) static int sit_still(void *arg)
{
	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	for (;;)
		syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
	return 0;
}

/* A process that does nothing in a new user namespace. It shares our memory and descriptors, so that
 * nothing is copied or kept open by it, and no SIGCHLD tells of its end. */
static struct err *start_sitter(void *stack, pid_t *ret_pid, int *ret_pidfd)
{
	const int flags = CLONE_NEWUSER | CLONE_VM | CLONE_FILES | CLONE_PIDFD;
	sigset_t all, old;
	pid_t pid;
	int errnum;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = clone(sit_still, (char *)stack + STACK_BYTES, flags, NULL, ret_pidfd);
	errnum = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return err_sys(errnum, "create a user namespace");
	*ret_pid = pid;
	return NULL;
}

static void end_sitter(int pidfd)
{
	siginfo_t info;

	pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | __WALL) < 0 && errno == EINTR)
		;
	close(pidfd);
}

static struct err *write_map(pid_t pid, const char *name, const struct id_map *m)
{
	autofree char *path = xasprintf("/proc/%d/%s", (int)pid, name);
	autoval(buf) text = BUF_INIT(PAGE_BYTES - 1);
	autofd fd = open(path, O_WRONLY | O_CLOEXEC);

	for (size_t i = 0; i < m->n; i++) {
		const struct id_range *r = &m->ranges[i];

		if (!buf_printf(&text, "%" PRIu32 " %" PRIu32 " %" PRIu32 "\n", r->container,
			    r->host, r->size))
			return err_new(ERR_INVALID, "%s is larger than a page", name);
	}
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len)
		return err_sys(errno, "write %s", name);
	return NULL;
}

static struct err *fill(
	pid_t pid, const struct id_map *uids, const struct id_map *gids, int *ret_userns_fd)
{
	autofree char *path = xasprintf("/proc/%d/ns/user", (int)pid);
	int fd;

	TRY(write_map(pid, "uid_map", uids));
	TRY(write_map(pid, "gid_map", gids));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(errno, "open %s", path);
	*ret_userns_fd = fd;
	return NULL;
}

struct err *id_map_open(const struct id_map *uids, const struct id_map *gids, int *ret_userns_fd)
{
	void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	int pidfd = -1;
	struct err *e;
	pid_t pid;

	if (stack == MAP_FAILED)
		return err_sys(errno, "create a user namespace");
	e = start_sitter(stack, &pid, &pidfd);
	if (!e) {
		e = fill(pid, uids, gids, ret_userns_fd);
		end_sitter(pidfd);
	}
	munmap(stack, STACK_BYTES);
	return err_wrap(e, "id-mapped mount");
}
