// SPDX-License-Identifier: Apache-2.0
/* The socket by which a runtime hands over the master of a terminal it made (--console-socket). */
#pragma once

#include "base/err.h"

struct console_socket;

CHECKED struct err *console_socket_new(struct console_socket **ret);
/* NULL-safe. Removes it from the file system. */
void console_socket_free(struct console_socket *c);
DEFINE_AUTOPTR(console_socket, console_socket_free);
const char *console_socket_path(const struct console_socket *c);
/* After the runtime's command ended: what it sent. Does not block. */
CHECKED struct err *console_socket_receive(struct console_socket *c, int *ret_fd);
