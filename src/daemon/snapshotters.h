// SPDX-License-Identifier: Apache-2.0
/* The rows of the plugin table that open a snapshotter. */
#pragma once

#include "daemon/daemon.h"

CHECKED struct err *init_blockfile(struct daemon *d, struct plugin_info *p);
CHECKED struct err *init_btrfs(struct daemon *d, struct plugin_info *p);
CHECKED struct err *init_native(struct daemon *d, struct plugin_info *p);
CHECKED struct err *init_overlayfs(struct daemon *d, struct plugin_info *p);
