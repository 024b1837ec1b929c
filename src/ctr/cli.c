// SPDX-License-Identifier: Apache-2.0
#include "ctr/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/timestamp.h"
#include "ctr/cli-internal.h"

#define EXIT_NO_TOPIC 3

/* --- names --- */

bool name_in(const char *names, const char *name, size_t len)
{
	while (names && *names) {
		size_t n = strcspn(names, ", ");

		if (n == len && strncmp(names, name, len) == 0)
			return true;
		names += n;
		names += strspn(names, ", ");
	}
	return false;
}

const struct command *command_find(const struct command *commands, const char *name)
{
	for (const struct command *c = commands; c && c->name; c++) {
		if (strcmp(c->name, name) == 0 || name_in(c->aliases, name, strlen(name)))
			return c;
	}
	return NULL;
}

/* --- values --- */

static struct err *parse_bool(const char *text, bool *ret)
{
	static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
	static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*ret = strcmp(text, yes[i]) == 0;
			return NULL;
		}
	}
	return err_new(ERR_INVALID, "parse error");
}

static struct err *parse_number(struct flag_value *v, const char *text)
{
	char *end = NULL;

	errno = 0;
	if (!*text || strchr(" \t\n", *text))
		return err_new(ERR_INVALID, "parse error");
	switch (v->flag->kind) {
	case FLAG_INT:
		v->i = strtoll(text, &end, 0);
		break;
	case FLAG_UINT:
		if (*text == '-')
			return err_new(ERR_INVALID, "parse error");
		v->u = strtoull(text, &end, 0);
		break;
	default:
		v->f = strtod(text, &end);
	}
	if (*end)
		return err_new(ERR_INVALID, "parse error");
	if (errno == ERANGE)
		return err_new(ERR_INVALID, "value out of range");
	return NULL;
}

static struct err *convert(struct flag_value *v, const char *text)
{
	switch (v->flag->kind) {
	case FLAG_BOOL:
		return parse_bool(text, &v->b);
	case FLAG_INT:
	case FLAG_UINT:
	case FLAG_FLOAT:
		return parse_number(v, text);
	case FLAG_DURATION: {
		autoptr(err) e = duration_parse(text, &v->i);

		return e ? err_new(ERR_INVALID, "parse error") : NULL;
	}
	default:
		return NULL;
	}
}

static struct err *set_value(struct flag_value *v, const char *name, size_t len, const char *text)
{
	autoptr(err) e = convert(v, text);

	if (e && v->flag->kind == FLAG_BOOL)
		return err_new(ERR_INVALID, "invalid boolean value \"%s\" for -%.*s: %s", text,
			(int)len, name, err_message(e));
	if (e)
		return err_new(ERR_INVALID, "invalid value \"%s\" for flag -%.*s: %s", text,
			(int)len, name, err_message(e));
	if (v->flag->kind != FLAG_LIST)
		strv_done(&v->texts);
	strv_add(&v->texts, text);
	return NULL;
}

/* --- levels --- */

void invocation_done(struct invocation *in)
{
	for (size_t i = 0; i < in->n_levels; i++) {
		for (size_t j = 0; j < in->levels[i].n_values; j++)
			strv_done(&in->levels[i].values[j].texts);
		free(in->levels[i].values);
	}
	strv_done(&in->args);
	in->n_levels = 0;
}

static struct err *set_default(struct flag_value *v)
{
	const char *name = v->flag->names;
	const char *text = v->flag->env ? getenv(v->flag->env) : NULL;

	if (!str_empty(text)) {
		v->is_set = true;
		TRY(err_wrap(set_value(v, name, strcspn(name, ","), text),
			"environment variable %s", v->flag->env));
	} else if (v->flag->value) {
		TRY(set_value(v, name, strcspn(name, ","), v->flag->value));
	}
	return NULL;
}

struct err *level_open(struct invocation *in, const struct command *command)
{
	struct level *level = &in->levels[in->n_levels++];
	size_t cap = 0;

	*level = (struct level){.command = command};
	for (size_t t = 0; t < FLAG_TABLES_MAX && command->flags[t]; t++) {
		for (const struct flag *f = command->flags[t]; f->names; f++) {
			GROW(level->values, level->n_values, cap);
			level->values[level->n_values++] = (struct flag_value){.flag = f};
		}
	}
	for (size_t i = 0; i < level->n_values; i++)
		TRY(set_default(&level->values[i]));
	return NULL;
}

static struct flag_value *find_value(const struct level *level, const char *name, size_t len)
{
	for (size_t i = 0; i < level->n_values; i++) {
		if (name_in(level->values[i].flag->names, name, len))
			return &level->values[i];
	}
	return NULL;
}

/* One flag at argv[0]; *ret_used is 1, or 2 with a value of its own. */
static struct err *parse_flag(
	struct level *level, int argc, char *const *argv, int *ret_used, bool *ret_help)
{
	const char *name = argv[0] + (argv[0][1] == '-' ? 2 : 1);
	const char *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	struct flag_value *v;

	*ret_used = 1;
	if (len == 0 || *name == '-')
		return err_new(ERR_INVALID, "bad flag syntax: %s", argv[0]);
	v = find_value(level, name, len);
	if (!v && name_in("help, h", name, len)) {
		*ret_help = true;
		return NULL;
	}
	if (!v)
		return err_new(ERR_INVALID, "flag provided but not defined: -%.*s", (int)len, name);
	if (v->flag->kind == FLAG_LIST && !v->is_set)
		strv_done(&v->texts);
	v->is_set = true;
	if (equals)
		return set_value(v, name, len, equals + 1);
	if (v->flag->kind == FLAG_BOOL)
		return set_value(v, name, len, "true");
	if (argc < 2)
		return err_new(ERR_INVALID, "flag needs an argument: -%s", name);
	*ret_used = 2;
	return set_value(v, name, len, argv[1]);
}

/* Flags of the command may also stand behind its arguments, unless those are another's command
 * line; what looks like a flag and is none stays an argument there. */
static struct err *parse_rest(
	struct invocation *in, struct level *level, int argc, char *const *argv, bool *ret_help)
{
	for (int i = 0; i < argc;) {
		const char *name = argv[i] + (argv[i][0] == '-') + (str_starts(argv[i], "--"));
		int used = 1;

		if (strcmp(argv[i], "--") == 0) {
			while (++i < argc)
				strv_add(&in->args, argv[i]);
			break;
		}
		if (!level->command->ends_flags && argv[i][0] == '-' &&
			find_value(level, name, strcspn(name, "=")))
			TRY(parse_flag(level, argc - i, argv + i, &used, ret_help));
		else
			strv_add(&in->args, argv[i]);
		i += used;
	}
	return NULL;
}

struct err *level_parse(
	struct invocation *in, int argc, char *const *argv, int *ret_used, bool *ret_help)
{
	struct level *level = &in->levels[in->n_levels - 1];
	bool ended = false;
	int i = 0;

	while (i < argc && argv[i][0] == '-' && argv[i][1]) {
		int used;

		ended = strcmp(argv[i], "--") == 0;
		if (ended) {
			i++;
			break;
		}
		TRY(parse_flag(level, argc - i, argv + i, &used, ret_help));
		i += used;
	}
	*ret_used = i;
	if (level->command->commands)
		return NULL;
	if (!ended)
		return parse_rest(in, level, argc - i, argv + i, ret_help);
	for (; i < argc; i++)
		strv_add(&in->args, argv[i]);
	return NULL;
}

/* --- what commands ask --- */

static const struct flag_value *value_of(const struct invocation *in, const char *name)
{
	for (size_t i = in->n_levels; i-- > 0;) {
		const struct flag_value *v = find_value(&in->levels[i], name, strlen(name));

		if (v)
			return v;
	}
	return NULL;
}

bool flag_bool(const struct invocation *in, const char *name)
{
	const struct flag_value *v = value_of(in, name);

	return v && v->b;
}

const char *flag_string(const struct invocation *in, const char *name)
{
	const struct flag_value *v = value_of(in, name);

	return v && v->texts.n > 0 ? v->texts.items[0] : "";
}

const struct strv *flag_list(const struct invocation *in, const char *name)
{
	static const struct strv none = STRV_INIT;
	const struct flag_value *v = value_of(in, name);

	return v ? &v->texts : &none;
}

int64_t flag_int(const struct invocation *in, const char *name)
{
	const struct flag_value *v = value_of(in, name);

	return v ? v->i : 0;
}

uint64_t flag_uint(const struct invocation *in, const char *name)
{
	const struct flag_value *v = value_of(in, name);

	return v ? v->u : 0;
}

double flag_float(const struct invocation *in, const char *name)
{
	const struct flag_value *v = value_of(in, name);

	return v ? v->f : 0;
}

int64_t flag_duration(const struct invocation *in, const char *name)
{
	return flag_int(in, name);
}

bool flag_is_set(const struct invocation *in, const char *name)
{
	const struct flag_value *v = value_of(in, name);

	return v && v->is_set;
}

size_t arg_count(const struct invocation *in)
{
	return in->args.n;
}

const char *arg(const struct invocation *in, size_t i)
{
	return i < in->args.n ? in->args.items[i] : "";
}

char *const *args_from(const struct invocation *in, size_t i)
{
	static char *const none[] = {NULL};

	return i < in->args.n ? in->args.items + i : none;
}

struct err *exit_with(struct invocation *in, int code)
{
	in->exit_code = code;
	return NULL;
}

static void print_help(FILE *out, const struct invocation *in)
{
	const struct command *path[LEVELS_MAX];

	for (size_t i = 0; i < in->n_levels; i++)
		path[i] = in->levels[i].command;
	help_print(out, path, in->n_levels);
}

struct err *show_help(struct invocation *in)
{
	print_help(stdout, in);
	return NULL;
}

/* --- running --- */

static int no_topic(const char *name)
{
	fprintf(stderr, "No help topic for '%s'\n", name);
	return EXIT_NO_TOPIC;
}

static int fail(const struct err *e)
{
	fflush(stdout);
	fprintf(stderr, "ctr: %s\n", err_message(e));
	return 1;
}

static int incorrect_usage(const struct invocation *in, const struct err *e)
{
	bool is_leaf = !in->levels[in->n_levels - 1].command->commands;

	printf("Incorrect Usage%s %s\n\n", is_leaf ? ":" : ".", err_message(e));
	print_help(stdout, in);
	return fail(e);
}

/* "help [command]" at any level. */
static int run_help(struct invocation *in, int argc, char *const *argv)
{
	const struct command *here = in->levels[in->n_levels - 1].command;
	const struct command *topic = argc > 0 ? command_find(here->commands, argv[0]) : NULL;

	if (argc > 0 && !topic)
		return no_topic(argv[0]);
	if (topic) {
		autoptr(err) e = level_open(in, topic);

		if (e)
			return fail(e);
	}
	print_help(stdout, in);
	return 0;
}

static struct err *check_required(const struct level *level)
{
	for (size_t i = 0; i < level->n_values; i++) {
		const struct flag_value *v = &level->values[i];

		if (v->flag->is_required && !v->is_set)
			return err_new(ERR_INVALID, "Required flag \"%.*s\" not set",
				(int)strcspn(v->flag->names, ","), v->flag->names);
	}
	return NULL;
}

static int run_leaf(struct invocation *in)
{
	const struct level *level = &in->levels[in->n_levels - 1];
	autoptr(err) missing = check_required(level);

	if (missing) {
		print_help(stdout, in);
		return fail(missing);
	}
	if (flag_bool(in, "debug"))
		log_set_level(LOG_DEBUG);
	autoptr(err) e = level->command->run(in);
	if (e)
		return fail(e);
	return in->exit_code;
}

static int run_level(
	struct invocation *in, const struct command *command, int argc, char *const *argv)
{
	bool help = false;
	int used = 0;
	autoptr(err) e = level_open(in, command);

	if (!e)
		e = level_parse(in, argc, argv, &used, &help);
	if (e)
		return incorrect_usage(in, e);
	argc -= used;
	argv += used;
	if (in->n_levels == 1 && flag_bool(in, "version")) {
		printf("ctr %s %s\n", ctr_package, ctr_version);
		return 0;
	}
	if (help || (command->commands && argc == 0)) {
		print_help(stdout, in);
		return 0;
	}
	if (!command->commands)
		return run_leaf(in);
	if (strcmp(argv[0], "help") == 0 || strcmp(argv[0], "h") == 0)
		return run_help(in, argc - 1, argv + 1);
	const struct command *next = command_find(command->commands, argv[0]);
	return next ? run_level(in, next, argc - 1, argv + 1) : no_topic(argv[0]);
}

int cli_run(const struct command *root, int argc, char *const *argv)
{
	autoval(invocation) in = {0};
	int code = run_level(&in, root, argc - 1, argv + 1);

	if (fflush(stdout) != 0 && code == 0 && errno != EPIPE) {
		fprintf(stderr, "ctr: write to stdout: %s\n", strerror(errno));
		return 1;
	}
	return code;
}
