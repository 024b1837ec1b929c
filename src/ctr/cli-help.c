// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "base/alloc.h"
#include "ctr/cli.h"
#include "ctr/table.h"

static void print_indented(FILE *out, const char *text)
{
	fprintf(out, "   %s\n", text);
}

static void add_command(struct table *t, const struct command *c)
{
	table_addf(t, "   %s%s%s\t%s\n", c->name, c->aliases ? ", " : "", str_or(c->aliases, ""),
		c->usage);
}

static void print_commands(FILE *out, const struct command *commands, bool is_root)
{
	autoptr(table) t = table_new(1, 8, 2, ' ');

	fputs("\nCOMMANDS:\n", out);
	for (const struct command *c = commands; c->name; c++)
		add_command(t, c);
	if (is_root)
		table_add(t, "   help, h\tShows a list of commands or help for one command\n");
	table_print(t, out);
}

/* "--name value, -n value" */
static char *flag_heading(const struct flag *f)
{
	autoval(strv) names = STRV_INIT, shown = STRV_INIT;

	strv_split(&names, f->names, ',');
	for (size_t i = 0; i < names.n; i++) {
		const char *name = names.items[i] + strspn(names.items[i], " ");
		const char *dashes = strlen(name) == 1 ? "-" : "--";

		if (f->kind == FLAG_BOOL)
			strv_addf(&shown, "%s%s", dashes, name);
		else
			strv_addf(&shown, "%s%s %s", dashes, name, str_or(f->placeholder, "value"));
	}
	return strv_join(&shown, ", ");
}

static char *flag_default(const struct flag *f)
{
	switch (f->kind) {
	case FLAG_BOOL:
	case FLAG_LIST:
		return xstrdup("");
	case FLAG_STRING:
		return f->value ? xasprintf(" (default: \"%s\")", f->value) : xstrdup("");
	case FLAG_DURATION:
		return xasprintf(" (default: %s)", str_or(f->value, "0s"));
	default:
		return xasprintf(" (default: %s)", str_or(f->value, "0"));
	}
}

static void add_flag(struct table *t, const struct flag *f)
{
	autofree char *heading = flag_heading(f), *value = flag_default(f);

	table_addf(t, "   %s\t%s%s%s%s%s\n", heading, f->usage, value, f->env ? " [$" : "",
		str_or(f->env, ""), f->env ? "]" : "");
}

static void print_flags(FILE *out, const struct command *c, bool is_root)
{
	autoptr(table) t = table_new(1, 8, 2, ' ');

	if (!c->flags[0] && !c->commands)
		return;
	fputs(is_root ? "\nGLOBAL OPTIONS:\n" : "\nOPTIONS:\n", out);
	for (size_t i = 0; i < FLAG_TABLES_MAX && c->flags[i]; i++) {
		for (const struct flag *f = c->flags[i]; f->names; f++)
			add_flag(t, f);
	}
	if (c->commands)
		table_add(t, "   --help, -h\tshow help\n");
	table_print(t, out);
}

static void print_usage_line(FILE *out, const char *name, const struct command *c, bool is_root)
{
	if (is_root)
		fprintf(out, "   %s [global options] command [command options] [arguments...]\n",
			name);
	else if (c->commands)
		fprintf(out, "   %s command [command options] [arguments...]\n", name);
	else
		fprintf(out, "   %s%s %s\n", name, c->flags[0] ? " [command options]" : "",
			str_or(c->args, "[arguments...]"));
}

void help_print(FILE *out, const struct command *const *path, size_t n_path)
{
	const struct command *c = path[n_path - 1];
	bool is_root = n_path == 1;
	autoval(strv) names = STRV_INIT;

	for (size_t i = 0; i < n_path; i++)
		strv_add(&names, path[i]->name);
	autofree char *name = strv_join(&names, " ");
	fprintf(out, "NAME:\n   %s - %s\n\nUSAGE:\n", name, c->usage);
	print_usage_line(out, name, c, is_root);
	if (is_root) {
		fputs("\nVERSION:\n", out);
		print_indented(out, ctr_version);
	}
	if (c->description) {
		fputs("\nDESCRIPTION:\n", out);
		print_indented(out, c->description);
	}
	if (c->commands)
		print_commands(out, c->commands, is_root);
	print_flags(out, c, is_root);
}
