// SPDX-License-Identifier: Apache-2.0
/* Options of the runc runtime (containerd.runc.v1.Options), as the shim keeps them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "google/protobuf/any.pb-c.h"

#include "base/auto.h"
#include "base/err.h"

struct options {
	bool no_pivot_root, no_new_keyring, systemd_cgroup;
	char *shim_cgroup, *binary_name, *root, *criu_image_path, *criu_work_path; /* never NULL */
	uint32_t io_uid, io_gid;
	char *task_api_address;
	uint32_t task_api_version;
};

void options_init(struct options *o);
void options_done(struct options *o);
DEFINE_AUTOVAL(options, options_done);

/* From a request; NULL or an empty Any gives the defaults. Another type than runc's is
 * ERR_INVALID. */
CHECKED struct err *options_from_any(const Google__Protobuf__Any *any, struct options *ret);

/* options.json and runtime in the bundle: what `delete` needs when the shim is gone. */
CHECKED struct err *options_save(const struct options *o, const char *bundle);
/* A missing file gives the defaults. */
CHECKED struct err *options_load(const char *bundle, struct options *ret);
