// SPDX-License-Identifier: Apache-2.0
/*
 * The command line: commands and flags are tables, one row each, and this reads arguments by them.
 * The behaviour is that of ctr's users: -name and --name, --name=value, flags before arguments,
 * lists by repetition, --help at each level, errors with the help behind them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/strv.h"

enum flag_kind {
	FLAG_BOOL,
	FLAG_STRING,
	FLAG_LIST, /* of strings, by repetition */
	FLAG_INT,
	FLAG_UINT,
	FLAG_FLOAT,
	FLAG_DURATION,
};

struct flag {
	const char *names; /* "quiet, q"; the first is how the program asks for it */
	const char *usage;
	enum flag_kind kind;
	const char *value;	 /* the default, NULL: zero */
	const char *env;	 /* a variable that replaces the default */
	const char *placeholder; /* in the help, NULL: "value" */
	bool is_required;
};

#define FLAGS_END ((struct flag){.names = NULL})
#define FLAG_TABLES_MAX 5

struct invocation;

struct command {
	const char *name;
	const char *aliases; /* "del, remove, rm", or NULL */
	const char *usage;
	const char *args;	 /* what stands behind the flags in the help, NULL: nothing much */
	const char *description; /* NULL: none */
	const struct flag *flags[FLAG_TABLES_MAX]; /* tables that end with FLAGS_END */
	struct err *(*run)(struct invocation *in);
	const struct command *commands; /* below this one; ends with a NULL name */
	bool ends_flags; /* the first argument ends the flags: what follows is another's command */
};

#define COMMANDS_END ((struct command){.name = NULL})

/* An error of which everything was said already: the program just ends with the code. */
struct err *exit_with(struct invocation *in, int code);
/* The help of the command that runs, on stdout. */
struct err *show_help(struct invocation *in);

/* Values by the flag's first name, of the command that runs or of one above it. */
bool flag_bool(const struct invocation *in, const char *name);
/* "" when it was not given and has no default. */
const char *flag_string(const struct invocation *in, const char *name);
const struct strv *flag_list(const struct invocation *in, const char *name);
int64_t flag_int(const struct invocation *in, const char *name);
uint64_t flag_uint(const struct invocation *in, const char *name);
double flag_float(const struct invocation *in, const char *name);
int64_t flag_duration(const struct invocation *in, const char *name); /* nanoseconds */
bool flag_is_set(const struct invocation *in, const char *name);

size_t arg_count(const struct invocation *in);
/* "" when there are not that many. */
const char *arg(const struct invocation *in, size_t i);
/* From the i-th on, NULL-terminated. */
char *const *args_from(const struct invocation *in, size_t i);

/* What the program was built as, for the help of the root. */
extern const char ctr_version[], ctr_revision[], ctr_package[];

/* Run a command line; the exit code. */
int cli_run(const struct command *root, int argc, char *const *argv);

/* --- help (cli-help.c) --- */

/* `path` is the command with those above it, the root first. */
void help_print(FILE *out, const struct command *const *path, size_t n_path);
