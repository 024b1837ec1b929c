// SPDX-License-Identifier: Apache-2.0
/* The socket of a shim: one for each pod, its name follows from daemon, namespace and pod. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

#define SOCKET_DIR "/run/containerd/s"

/* "<dir>/<sha256 of address/namespace/group>"; caller frees. */
char *socket_name(const char *dir, const char *address, const char *ns, const char *group);
/* The pod a container belongs to by the annotations in config.json of the working directory; its
 * own id when it belongs to none or there is no such file. Caller frees. */
CHECKED struct err *socket_group(const char *config_path, const char *id, char **ret);
/* Listens, for the owner only; the directory is made. ERR_EXISTS when something is there. */
CHECKED struct err *socket_listen(const char *path, int *ret);
/* Whether somebody accepts there. */
bool socket_alive(const char *path);
