// SPDX-License-Identifier: Apache-2.0
/* What a shim's `start` prints and the daemon keeps beside the bundle: how to reach the shim. */
#pragma once

#include "base/err.h"

#define SHIM_VERSION_MAX 3

struct bootstrap {
	int version; /* of the task API: 2 or 3 */
	char *address, *protocol;
};
void bootstrap_done(struct bootstrap *b);
DEFINE_AUTOVAL(bootstrap, bootstrap_done);

/* A BootstrapResult, its JSON form, or the bare address of shims before 2.0. ERR_UNIMPLEMENTED for
 * what this daemon cannot speak. */
CHECKED struct err *bootstrap_parse(const char *text, size_t len, struct bootstrap *ret);
/* Whether this daemon can reach it; part of bootstrap_parse(). */
CHECKED struct err *bootstrap_check(const struct bootstrap *b);
/* bootstrap.json, or `address` as shims before 2.0 write it. */
CHECKED struct err *bootstrap_load(const char *bundle, struct bootstrap *ret);
CHECKED struct err *bootstrap_save(const char *bundle, const struct bootstrap *b);
