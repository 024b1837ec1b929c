// SPDX-License-Identifier: Apache-2.0
/* Directories named after snapshot ids: <root>/snapshots/<id>, as containerd's drivers keep them. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* <root>/snapshots, made when it is not there. */
CHECKED struct err *id_dirs_open(const char *root);
/* <root>/snapshots/<id>[/<name>]; caller frees. */
char *id_dir(const char *root, uint64_t id, const char *name);
/* What <id> is called before it is whole; caller frees. */
char *id_staging(const char *root, uint64_t id);
/*
 * A directory that becomes <id> as a whole: fill the one that begin returns (caller frees), then
 * publish it. What an interrupted attempt left behind is replaced.
 */
CHECKED struct err *id_dir_begin(const char *root, uint64_t id, char **ret_staging);
CHECKED struct err *id_dir_publish(const char *root, uint64_t id, const char *staging);
CHECKED struct err *id_dir_remove(const char *root, uint64_t id);
/* Each id that has a directory, finished or not. */
CHECKED struct err *id_dirs_walk(
	const char *root, struct err *(*visit)(uint64_t id, void *arg), void *arg);
