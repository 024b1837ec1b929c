// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "daemon/daemon.h"

const char daemon_package[] = "containerd-c";
const char daemon_version[] = CTD_VERSION;
const char daemon_revision[] = CTD_REVISION;

static const char usage[] =
	"NAME:\n"
	"   containerd - container runtime daemon\n"
	"\n"
	"USAGE:\n"
	"   containerd [global options] command [command options] [arguments...]\n"
	"\n"
	"VERSION:\n"
	"   " CTD_VERSION "\n"
	"\n"
	"DESCRIPTION:\n"
	"   Runs containers for its clients: ctr, docker, kubelet and others. Without a\n"
	"   command it starts and serves until it gets a SIGTERM, which leaves the\n"
	"   containers running.\n"
	"\n"
	"COMMANDS:\n"
	"   config   information on the configuration: default, dump, migrate\n"
	"   help, h  shows this\n"
	"\n"
	"GLOBAL OPTIONS:\n"
	"   --config value, -c value     path to the configuration file (default: "
	"\"" CONFIG_DEFAULT_PATH "\")\n"
	"   --log-level value, -l value  trace, debug, info, warn, error, fatal, panic\n"
	"   --address value, -a value    address of the gRPC socket\n"
	"   --root value                 directory for what lasts\n"
	"   --state value                directory for what lasts until reboot\n"
	"   --help, -h                   show help\n"
	"   --version, -v                print the version\n";

struct options {
	const char *config, *log_level, *address, *root, *state;
	bool help, version;
};

struct flag {
	const char *name, *brief;
	size_t offset;
	bool is_switch;
};

static const struct flag flags[] = {
	{"config", "c", offsetof(struct options, config), false},
	{"log-level", "l", offsetof(struct options, log_level), false},
	{"address", "a", offsetof(struct options, address), false},
	{"root", NULL, offsetof(struct options, root), false},
	{"state", NULL, offsetof(struct options, state), false},
	{"help", "h", offsetof(struct options, help), true},
	{"version", "v", offsetof(struct options, version), true},
};

static const struct flag *find_flag(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if ((strlen(flags[i].name) == len && strncmp(flags[i].name, name, len) == 0) ||
			(flags[i].brief && len == 1 && *flags[i].brief == *name))
			return &flags[i];
	}
	return NULL;
}

/* Options come before the command, with one dash or two, "--name value" or "--name=value". Returns
 * the index of the first argument behind them. */
static struct err *parse_options(int argc, char **argv, struct options *o, int *ret)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		const char *name = argv[i] + (argv[i][1] == '-' ? 2 : 1);
		size_t len = strcspn(name, "=");
		const struct flag *f = find_flag(name, len);
		char *at = (char *)o + (f ? f->offset : 0);

		if (!*name) {
			i++;
			break;
		}
		if (!f)
			return err_new(ERR_INVALID, "flag provided but not defined: -%.*s",
				(int)len, name);
		if (f->is_switch)
			*(bool *)at = true;
		else if (name[len])
			*(const char **)(void *)at = name + len + 1;
		else if (i + 1 < argc)
			*(const char **)(void *)at = argv[++i];
		else
			return err_new(ERR_INVALID, "flag needs an argument: -%s", f->name);
	}
	*ret = i;
	return NULL;
}

/* The text may be a part of what it replaces. */
static void replace(char **to, const char *text)
{
	char *fresh = xstrdup(text);

	free(*to);
	*to = fresh;
}

/* Made absolute, as the daemon changes no directory but its shims do. */
static void replace_path(char **to, const char *path)
{
	autofree char *cwd = *path == '/' ? NULL : get_current_dir_name();

	free(*to);
	*to = cwd ? xasprintf("%s/%s", cwd, path) : xstrdup(path);
}

/* The file, and over it what the command line says. */
static struct err *read_config(const struct options *o, struct config *c, struct strv *ret_unknown)
{
	struct err *e = config_load(c, o->config ? o->config : CONFIG_DEFAULT_PATH, ret_unknown);

	if (!o->config && err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		e = NULL;
	}
	TRY(e);
	if (o->root)
		replace_path(&c->root, o->root);
	if (o->state)
		replace_path(&c->state, o->state);
	if (o->log_level)
		replace(&c->log_level, o->log_level);
	if (o->address) {
		replace(&c->address, o->address);
		replace(&c->ttrpc_address, "");
	}
	if (str_starts(c->address, "unix://"))
		replace(&c->address, c->address + 7);
	return NULL;
}

static void derive_ttrpc_address(struct config *c)
{
	if (!str_empty(c->ttrpc_address))
		return;
	free(c->ttrpc_address);
	c->ttrpc_address = xasprintf("%s.ttrpc", c->address);
}

static struct err *set_logging(const struct config *c)
{
	enum log_level level = LOG_INFO;

	if (!str_empty(c->log_level) && !log_level_parse(c->log_level, &level))
		return err_new(ERR_INVALID,
			"log level: \"%s\" is none of trace, debug, info, "
			"warn, error, fatal, panic",
			c->log_level);
	log_set_level(level);
	if (str_eq(c->log_format, "json"))
		log_set_format(LOG_JSON);
	else if (!str_empty(c->log_format) && !str_eq(c->log_format, "text"))
		return err_new(ERR_INVALID, "debug/format: \"%s\" is neither \"text\" nor \"json\"",
			c->log_format);
	return NULL;
}

static struct err *run_daemon(const struct options *o)
{
	autoval(config) c = {0};
	autoval(strv) unknown = STRV_INIT;
	autoptr(daemon) d = NULL;

	config_init(&c);
	TRY(read_config(o, &c, &unknown));
	derive_ttrpc_address(&c);
	TRY(set_logging(&c));
	TRY(config_check(&c));
	if (unknown.n) {
		autofree char *list = strv_join(&unknown, ", ");

		log_warn("keys of the configuration that have no effect here", "keys", list);
	}
	log_info("starting containerd", "revision", daemon_revision, "version", daemon_version);
	TRY(daemon_start(&c, &d));
	return daemon_serve(d);
}

static struct err *run_config(const struct options *o, const char *action)
{
	autoval(config) c = {0};
	autoval(strv) unknown = STRV_INIT;

	config_init(&c);
	if (str_eq(action, "default")) {
		config_print(&c, stdout);
		return NULL;
	}
	if (!str_eq(action, "dump") && !str_eq(action, "migrate"))
		return err_new(ERR_INVALID,
			"config: say what: default, dump (what is in force) or migrate");
	TRY(read_config(o, &c, &unknown));
	for (size_t i = 0; i < unknown.n; i++)
		fprintf(stderr, "containerd: %s has no effect here\n", unknown.items[i]);
	if (str_eq(action, "dump"))
		derive_ttrpc_address(&c);
	config_print(&c, stdout);
	return NULL;
}

static struct err *run(int argc, char **argv)
{
	struct options o = {0};
	const char *command;
	int at = argc;

	TRY(parse_options(argc, argv, &o, &at));
	command = at < argc ? argv[at] : NULL;
	if (o.version) {
		printf("containerd %s %s %s\n", daemon_package, daemon_version, daemon_revision);
		return NULL;
	}
	if (o.help || str_eq(command, "help") || str_eq(command, "h")) {
		fputs(usage, stdout);
		return NULL;
	}
	if (!command)
		return run_daemon(&o);
	if (str_eq(command, "config"))
		return run_config(&o, at + 1 < argc ? argv[at + 1] : "");
	return err_new(ERR_INVALID, "no such command: %s; see containerd --help", command);
}

int main(int argc, char **argv)
{
	autoptr(err) e = NULL;

	/* Threads come and go: few arenas, and what is free goes back to the system. */
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_TRIM_THRESHOLD, 128 * 1024);
	mallopt(M_MMAP_THRESHOLD, 256 * 1024);
	e = run(argc, argv);
	if (!e)
		return fflush(stdout) == 0 ? 0 : 1;
	fprintf(stderr, "containerd: %s\n", err_message(e));
	return 1;
}
