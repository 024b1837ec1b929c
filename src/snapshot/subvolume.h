// SPDX-License-Identifier: Apache-2.0
/* Subvolumes of btrfs (btrfs-ioctl(2)); paths are of directories. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

CHECKED struct err *subvolume_create(const char *path);
/* ERR_NOT_FOUND when there is nothing to make a snapshot of. */
CHECKED struct err *subvolume_snapshot(const char *from, const char *path, bool is_readonly);
/* With the subvolumes in it, which anybody can make who can write there; none there is success. */
CHECKED struct err *subvolume_remove(const char *path);
CHECKED struct err *subvolume_set_readonly(const char *path, bool is_readonly);
CHECKED struct err *subvolume_id(const char *path, uint64_t *ret);
