// SPDX-License-Identifier: Apache-2.0
/*
 * What the worker sees of the machine's files: the target of an apply, or the two trees of a diff,
 * mounted where nobody else sees it. All of this comes before the confinement of the process and
 * handles nothing but the daemon's own words.
 */
#pragma once

#include <stdbool.h>

#include "worker/job.h"

struct view {
	int root_fd; /* apply: the tree to write to */
	/* apply onto the upper directory of an overlay itself, as containerd does: the xattr that marks
	 * opaque directories there and the layers below. NULL otherwise. */
	const char *opaque_xattr;
	int *lowers;
	size_t n_lowers;
	int lower_fd, upper_fd; /* diff */
};

#define VIEW_INIT ((struct view){.root_fd = -1, .lower_fd = -1, .upper_fd = -1})

void view_done(struct view *v);
DEFINE_AUTOVAL(view, view_done);

/* All end inside the view: it is the process's root. For an archive it is empty. */
CHECKED struct err *view_for_apply(const struct job *job, struct view *ret);
CHECKED struct err *view_for_diff(const struct job *job, struct view *ret);
CHECKED struct err *view_for_archive(const struct job *job);
