// SPDX-License-Identifier: Apache-2.0
#include "rpc/grpc-client-internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/alloc.h"
#include "base/strv.h"

/* The sentence that clients of Go programs know. */
static struct err *dial_error(
	const char *network, const char *address, const char *call, int errnum)
{
	autofree char *why = xstrdup(strerror(errnum));

	if (errnum == EAGAIN || errnum == EINPROGRESS || errnum == ETIMEDOUT)
		return err_new(ERR_UNAVAILABLE,
			"connection error: desc = \"transport: Error while dialing: dial %s %s: "
			"i/o timeout\"",
			network, address);
	why[0] = (char)tolower((unsigned char)why[0]);
	return err_new(ERR_UNAVAILABLE,
		"connection error: desc = \"transport: Error while dialing: dial %s %s: %s: %s\"",
		network, address, call, why);
}

static int connect_within(
	int family, const struct sockaddr *sa, socklen_t len, int64_t timeout_ms, int *ret_fd)
{
	autofd fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval wait = {timeout_ms / 1000, timeout_ms % 1000 * 1000}, none = {0};
	int one = 1;

	if (fd < 0)
		return -errno;
	/* A blocking connect with a bound: also waits for room in a unix socket's backlog. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	while (connect(fd, sa, len) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
	if (family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static struct err *dial_unix(const char *path, int64_t timeout_ms, int *ret_fd)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int r;

	if (len >= sizeof(sun.sun_path))
		return dial_error("unix", path, "connect", EINVAL);
	memcpy(sun.sun_path, path, len);
	r = connect_within(AF_UNIX, (struct sockaddr *)&sun, sizeof(sun), timeout_ms, ret_fd);
	return r < 0 ? dial_error("unix", path, "connect", -r) : NULL;
}

static struct err *dial_tcp(const char *address, int64_t timeout_ms, int *ret_fd)
{
	const char *colon = strrchr(address, ':');
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	autofree char *host = NULL;
	int r;

	if (!colon)
		return err_new(ERR_INVALID, "address \"%s\": missing port", address);
	if (address[0] == '[' && colon > address + 1 && colon[-1] == ']')
		host = xstrndup(address + 1, (size_t)(colon - address - 2));
	else
		host = xstrndup(address, (size_t)(colon - address));
	r = getaddrinfo(host, colon + 1, &hints, &list);
	if (r)
		return err_new(ERR_UNAVAILABLE,
			"connection error: desc = \"transport: Error while dialing: dial tcp: "
			"lookup %s: %s\"",
			host, gai_strerror(r));
	r = -ECONNREFUSED;
	for (struct addrinfo *ai = list; ai && r < 0; ai = ai->ai_next)
		r = connect_within(ai->ai_family, ai->ai_addr, ai->ai_addrlen, timeout_ms, ret_fd);
	freeaddrinfo(list);
	return r < 0 ? dial_error("tcp", address, "connect", -r) : NULL;
}

struct err *grpc_dial(const char *address, int64_t timeout_ms, int *ret_fd)
{
	static const char scheme[] = "unix:";
	const char *path = address;

	if (str_starts(address, scheme)) {
		path += sizeof(scheme) - 1;
		if (str_starts(path, "//"))
			path += 2;
		return dial_unix(path, timeout_ms, ret_fd);
	}
	if (path[0] == '/')
		return dial_unix(path, timeout_ms, ret_fd);
	return dial_tcp(address, timeout_ms, ret_fd);
}

char *grpc_authority(const char *address)
{
	if (!address || address[0] == '/' || str_starts(address, "unix:"))
		return xstrdup("localhost");
	return xstrdup(address);
}
