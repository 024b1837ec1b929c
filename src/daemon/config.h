// SPDX-License-Identifier: Apache-2.0
/*
 * containerd's config.toml: every key that has an effect here is a row of one table (config.c),
 * with the places where versions 1 to 4 of the format keep it. A key that is not in the table is
 * warned about and ignored; a wrong type is an error that names file, line and key.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/strv.h"

#define CONFIG_DEFAULT_PATH "/etc/containerd/config.toml"
#define CONFIG_VERSION_MAX 4

struct config {
	int64_t version;
	char *root, *state, *temp;
	struct strv imports, disabled_plugins, required_plugins;
	int64_t oom_score;
	char *log_level, *log_format;
	char *address, *ttrpc_address;
	int64_t uid, gid, ttrpc_uid, ttrpc_gid;
	int64_t max_recv, max_send;
	int64_t shim_load_ns, shim_cleanup_ns, shim_shutdown_ns, task_state_ns;
	double gc_pause_threshold;
	int64_t gc_deletion_threshold, gc_mutation_threshold, gc_schedule_delay_ns,
		gc_startup_delay_ns;
	char *overlay_root, *native_root, *btrfs_root, *blockfile_root;
	struct strv overlay_mount_options, blockfile_mount_options;
	bool overlay_upperdir_label, overlay_slow_chown, overlay_sync_remove;
	char *blockfile_scratch_file, *blockfile_fs_type;
	bool blockfile_recreate_scratch;
	bool sync_fs;				    /* diff service */
	int64_t max_layer_bytes, max_layer_entries; /* of one layer, unpacked; ours */
	bool transfer_check_platform;
	struct strv shim_env;
	char *socket_dir;
};

void config_init(struct config *c); /* the defaults */
void config_done(struct config *c);
DEFINE_AUTOVAL(config, config_done);
/* Reads the file and what it imports over what is there. Unknown keys come back as one text each,
 * "file:line: key". A missing file is ERR_NOT_FOUND. */
CHECKED struct err *config_load(struct config *c, const char *path, struct strv *ret_unknown);
/* What the daemon cannot start with: relative paths, root equal to state, an empty address. */
CHECKED struct err *config_check(const struct config *c);
/* As TOML of the newest version. */
void config_print(const struct config *c, FILE *out);
