// SPDX-License-Identifier: Apache-2.0
/*
 * Puts the entries of a layer into a directory, with the meaning of OCI's changesets: whiteouts
 * remove, opaque markers hide what was there before, directories are merged and everything else is
 * replaced. The same layer gives the same tree as containerd's archive.Apply.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "archive/tar-reader.h"

#define APPLY_DEVICES_MAX 16384 /* device nodes in one layer */

struct apply_options {
	int root_fd;
	/* The root is the upper directory of an overlay: whiteouts become what overlayfs reads as such,
	 * opaque directories get this xattr. NULL: whiteouts remove. */
	const char *opaque_xattr;
	const int *lowers; /* layers below, topmost first; used with opaque_xattr */
	size_t n_lowers;
	bool skip_devices; /* in a user namespace they cannot be made */
	bool sync;	   /* start write-back early: the caller is going to wait for it */
	int64_t max_bytes; /* of all files together, holes included */
	int64_t max_entries;
};

/* The umask is 0 and the working directory is not the caller's any more: both are the process's. */
CHECKED struct err *apply_archive(struct tar_reader *r, const struct apply_options *options);
