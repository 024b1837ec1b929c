// SPDX-License-Identifier: Apache-2.0
#include "shim/console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/alloc.h"
#include "base/strv.h"

struct console_socket {
	char *dir, *path;
	int fd;
};

static char *temporary_dir(void)
{
	const char *base = getenv("XDG_RUNTIME_DIR");

	if (str_empty(base))
		base = getenv("TMPDIR");
	return xasprintf("%s/ptyXXXXXX", str_empty(base) ? "/tmp" : base);
}

static struct err *listen_at(struct console_socket *c)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (strlen(c->path) >= sizeof(sa.sun_path))
		return err_new(ERR_INVALID, "console socket %s: path too long", c->path);
	memcpy(sa.sun_path, c->path, strlen(c->path));
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0 || bind(c->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
		listen(c->fd, 1) < 0)
		return err_sys(errno, "console socket %s", c->path);
	return NULL;
}

struct err *console_socket_new(struct console_socket **ret)
{
	autoptr(console_socket) c = NEW(struct console_socket);

	c->fd = -1;
	c->dir = temporary_dir();
	if (!mkdtemp(c->dir)) {
		struct err *e = err_sys(errno, "create %s", c->dir);

		free(c->dir);
		c->dir = NULL;
		return e;
	}
	c->path = xasprintf("%s/pty.sock", c->dir);
	TRY(listen_at(c));
	*ret = TAKE(c);
	return NULL;
}

void console_socket_free(struct console_socket *c)
{
	if (!c)
		return;
	if (c->fd >= 0)
		close(c->fd);
	if (c->path)
		unlink(c->path);
	if (c->dir)
		rmdir(c->dir);
	free(c->path);
	free(c->dir);
	free(c);
}

const char *console_socket_path(const struct console_socket *c)
{
	return c->path;
}

static struct err *no_console(int errnum)
{
	if (errnum == EAGAIN)
		return err_new(ERR_UNKNOWN, "the runtime sent no terminal");
	return err_sys(errnum, "receive the terminal");
}

struct err *console_socket_receive(struct console_socket *c, int *ret_fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	char name[256];
	struct iovec iov = {name, sizeof(name)};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	autofd peer = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct cmsghdr *h;

	if (peer < 0 || recvmsg(peer, &m, MSG_CMSG_CLOEXEC) < 0)
		return no_console(errno);
	h = CMSG_FIRSTHDR(&m);
	if (!h || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS ||
		h->cmsg_len != CMSG_LEN(sizeof(int)))
		return no_console(EAGAIN);
	memcpy(ret_fd, CMSG_DATA(h), sizeof(int));
	return NULL;
}
