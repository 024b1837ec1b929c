// SPDX-License-Identifier: Apache-2.0
/* Mappings of user and group ids (user_namespaces(7)) as containerd writes them:
 * "container:host:size[,...]". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define ID_RANGES_MAX 340 /* the kernel's own limit */

struct id_range {
	uint32_t container, host, size;
};

struct id_map {
	struct id_range ranges[ID_RANGES_MAX];
	size_t n;
};

/* Never empty on success. ERR_INVALID for anything else. */
CHECKED struct err *id_map_parse(const char *text, struct id_map *ret);
/* False when the id is not mapped. */
bool id_map_to_host(const struct id_map *m, uint32_t container, uint32_t *ret);
/* A descriptor of a user namespace with these mappings, which lives as long as the descriptor or
 * what was made with it. */
CHECKED struct err *id_map_open(
	const struct id_map *uids, const struct id_map *gids, int *ret_userns_fd);
