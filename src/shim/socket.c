// SPDX-License-Identifier: Apache-2.0
#include "shim/socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/strv.h"

#define CONFIG_MAX ((size_t)16 << 20)

static const char *const groups[] = {"io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"};

char *socket_name(const char *dir, const char *address, const char *ns, const char *group)
{
	autofree char *joined = path_join(address, ns), *whole = path_join(joined, group);
	char hex[65];

	sha256_hex(whole, strlen(whole), hex);
	return path_join(dir, hex);
}

struct err *socket_group(const char *config_path, const char *id, char **ret)
{
	autoptr(json_object) config = NULL;
	autofree char *text = NULL;
	struct json_object *annotations;
	size_t len;
	struct err *e = file_read(config_path, CONFIG_MAX, &text, &len);

	/* A sandbox needs no specification. */
	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		*ret = xstrdup(id);
		return NULL;
	}
	TRY(e);
	TRY(err_wrap(json_parse(text, len, &config), "%s", config_path));
	annotations = json_find(config, "annotations");
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		struct json_object *value = NULL;

		if (!json_object_is_type(annotations, json_type_object) ||
			!json_object_object_get_ex(annotations, groups[i], &value) ||
			!json_object_is_type(value, json_type_string))
			continue;
		*ret = xstrdup(json_object_get_string(value));
		return NULL;
	}
	*ret = xstrdup(id);
	return NULL;
}

static struct err *address_of(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(ret->sun_path))
		return err_new(ERR_INVALID, "\"%s\": unix socket path too long (> %zu)", path,
			sizeof(ret->sun_path) - 1);
	memcpy(ret->sun_path, path, strlen(path));
	return NULL;
}

struct err *socket_listen(const char *path, int *ret)
{
	autofree char *dir = path_dir(path);
	autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa;
	mode_t mask;
	int r;

	TRY(address_of(path, &sa));
	TRY(err_wrap(mkdir_p(dir, 0700), "mkdir failed for %s", path));
	mask = umask(0177); /* never open to others, not even before a chmod */
	r = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	umask(mask);
	if (r < 0 && errno == EADDRINUSE)
		return err_new(ERR_EXISTS, "socket %s is in use", path);
	if (r < 0 || listen(fd, SOMAXCONN) < 0)
		return err_sys(errno, "listen on %s", path);
	*ret = TAKE_FD(fd);
	return NULL;
}

bool socket_alive(const char *path)
{
	autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa;
	autoptr(err) e = address_of(path, &sa);

	/* A full backlog (EAGAIN) is of somebody who lives. */
	return !e && fd >= 0 &&
	       (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 || errno == EAGAIN);
}
