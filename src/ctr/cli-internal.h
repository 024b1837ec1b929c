// SPDX-License-Identifier: Apache-2.0
/* Invocations, and their parsing as far as tests reach into it. */
#pragma once

#include "ctr/cli.h"

#define LEVELS_MAX 4

struct flag_value {
	const struct flag *flag;
	bool is_set;	   /* on the command line or by the environment */
	struct strv texts; /* one, or more for a list */
	union {
		bool b;
		int64_t i;
		uint64_t u;
		double f;
	};
};

struct level {
	const struct command *command;
	struct flag_value *values;
	size_t n_values;
};

struct invocation {
	struct level levels[LEVELS_MAX];
	size_t n_levels;
	struct strv args;
	int exit_code;
};

void invocation_done(struct invocation *in);
DEFINE_AUTOVAL(invocation, invocation_done);
/* Make a level of the command with its flags' defaults. ERR_INVALID for a bad environment. */
CHECKED struct err *level_open(struct invocation *in, const struct command *command);
/* Read the flags of the innermost level; ret_rest is the number of arguments used. *ret_help when
 * help was asked for. */
CHECKED struct err *level_parse(
	struct invocation *in, int argc, char *const *argv, int *ret_used, bool *ret_help);
const struct command *command_find(const struct command *commands, const char *name);
/* Whether a word is one of "a, b, c". */
bool name_in(const char *names, const char *name, size_t len);
