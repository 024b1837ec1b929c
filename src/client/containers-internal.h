// SPDX-License-Identifier: Apache-2.0
/* Container records, for the rest of the library. */
#pragma once

#include "client/client-internal.h"

#include <containerd/containers.h>

#include "base/json.h"
#include "oci/image.h"
#include "proto/containers.pb-c.h"

void container_from_wire(
	struct ctd_container *to, const Containers__Container *c, struct arena *arena);
CHECKED struct err *container_put(const struct scope *s, Containers__Container *c,
	struct arena *arena, Containers__Container **ret);

/* /etc/passwd and /etc/group of a rootfs; NULL for a file that is not there. */
struct account_files {
	char *passwd, *group;
};
void account_files_done(struct account_files *f);
DEFINE_AUTOVAL(account_files, account_files_done);
/* Mounts what has to be mounted for the time of reading. */
CHECKED struct err *account_files_read(struct ctd_mounts rootfs, struct account_files *ret);
CHECKED struct err *account_files_read_path(const char *root, struct account_files *ret);

/* The spec of a new container; `config` and `accounts` are of its image or NULL. */
CHECKED struct err *spec_for(const struct ctd_container_options *options, const char *ns,
	const struct image_config *config, const struct account_files *accounts,
	struct json_object **ret);
