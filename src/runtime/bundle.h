// SPDX-License-Identifier: Apache-2.0
/*
 * The directory of a task in the state directory and its work directory below the root, in
 * containerd's layout. A bundle is complete when it gets its name and loses the name before anything
 * in it is removed, so that what a crash leaves behind is known as such.
 */
#pragma once

#include "base/any.h"
#include "base/err.h"

#define BUNDLE_FILE_MAX ((size_t)64 * 1024)

/* <state>/<ns>/<id> with rootfs, work and config.json. ERR_EXISTS when it is there. */
CHECKED struct err *bundle_create(const char *root, const char *state, const char *ns,
	const char *id, const struct any *spec, char **ret_path);
/* Detaches what is mounted in it and removes it and its work directory; missing is success. */
CHECKED struct err *bundle_delete(const char *root, const char *path);
/* Removes what an interrupted bundle_create() or bundle_delete() left in the directory of a
 * namespace. */
void bundle_sweep(const char *ns_dir);
/* A small file of the bundle; NULL when it is missing or not to be read. Caller frees. */
char *bundle_read(const char *path, const char *name);
CHECKED struct err *bundle_write(const char *path, const char *name, const char *text, mode_t mode);
