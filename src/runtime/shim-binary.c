// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim-binary.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "proto/bootstrap.pb-c.h"
#include "proto/shim-v3.pb-c.h"
#include "proto/types.pb-c.h"
#include "rpc/message.h"
#include "sys/spawn.h"

#define OUTPUT_MAX ((size_t)1 << 20)
#define PROBE_TIMEOUT_MS 5000
/* Shims that boot a virtual machine take their time. */
#define START_TIMEOUT_MS 120000
/* Begins the build of our own versions. */
#define OWN_BUILD "+c"
#define RUNTIME_NAME_HINT                                                                          \
	"invalid runtime name %s, correct runtime name should be either format like "              \
	"`io.containerd.runc.v2` or a full path to the binary"

extern char **environ;

struct shim_kind {
	struct timespec mtime;
	ino_t inode;
	off_t size;
	enum shim_input input;
};

void shim_binaries_init(struct shim_binaries *b)
{
	*b = (struct shim_binaries){0};
	lock_init(&b->lock);
}

void shim_binaries_done(struct shim_binaries *b)
{
	map_done(&b->paths, free);
	map_done(&b->kinds, free);
	lock_done(&b->lock);
}

/* --- from names to files --- */

/* "io.containerd.runc.v2" -> "containerd-shim-runc-v2"; NULL for what is no such name. */
static char *binary_name(const char *runtime)
{
	autoval(strv) parts = STRV_INIT;

	strv_split(&parts, runtime, '.');
	if (parts.n < 2 || !*parts.items[0])
		return NULL;
	return xasprintf(
		"containerd-shim-%s-%s", parts.items[parts.n - 2], parts.items[parts.n - 1]);
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static char *search(const char *name, const char *daemon_path)
{
	autoval(strv) dirs = STRV_INIT;
	autofree char *here = realpath(name, NULL);
	autofree char *beside = daemon_path ? path_dir(daemon_path) : NULL;

	if (here && is_program(here))
		return TAKE(here);
	strv_split(&dirs, str_or(getenv("PATH"), "/usr/sbin:/usr/bin:/sbin:/bin"), ':');
	if (beside)
		strv_add(&dirs, beside);
	for (size_t i = 0; i < dirs.n; i++) {
		autofree char *path = path_join(dirs.items[i], name);

		if (dirs.items[i][0] == '/' && is_program(path))
			return TAKE(path);
	}
	return NULL;
}

struct err *shim_binary_resolve(
	struct shim_binaries *b, const char *runtime, const char *daemon_path, char **ret)
{
	autofree char *name = NULL;
	autofree char *path = NULL;

	if (str_empty(runtime))
		return err_new(ERR_INVALID, "no runtime name");
	if (runtime[0] == '/') {
		if (access(runtime, F_OK) < 0)
			return err_new(ERR_UNKNOWN, "invalid custom binary path: stat %s: %s",
				runtime, strerror(errno));
		*ret = xstrdup(runtime);
		return NULL;
	}
	name = strchr(runtime, '/') ? NULL : binary_name(runtime);
	if (!name)
		return err_new(ERR_INVALID, RUNTIME_NAME_HINT, runtime);
	LOCKED(&b->lock);
	path = xstrdup(map_get(&b->paths, name));
	if (path && !is_program(path))
		free(TAKE(path));
	if (!path) {
		path = search(name, daemon_path);
		if (!path)
			/* Not "not found": for clients that is the container, or the task. */
			return err_new(ERR_UNKNOWN,
				"runtime \"%s\" binary not installed \"%s\": file does not exist",
				runtime, name);
		free(map_set(&b->paths, name, xstrdup(path)));
	}
	*ret = TAKE(path);
	return NULL;
}

/* --- running them --- */

/* Each inherited variable that is set anew is left out: the first of two would win. */
static void add_env(struct strv *env, const char *name, const char *value)
{
	autofree char *prefix = xasprintf("%s=", name);

	for (size_t i = env->n; i-- > 0;)
		if (str_starts(env->items[i], prefix))
			strv_remove_at(env, i);
	strv_addf(env, "%s=%s", name, value);
}

static void fill_env(struct strv *env, const struct shim_command *c)
{
	const struct strv *more = c->options->shim_env;

	for (char **e = environ; *e; e++)
		strv_add(env, *e);
	add_env(env, "GOMAXPROCS", "2");
	add_env(env, "MAX_SHIM_VERSION", "2");
	add_env(env, "TTRPC_ADDRESS", str_or(c->options->ttrpc_address, ""));
	add_env(env, "GRPC_ADDRESS", str_or(c->options->address, ""));
	add_env(env, "NAMESPACE", c->ns);
	for (size_t i = 0; more && i < more->n; i++) {
		const char *equals = strchr(more->items[i], '=');
		autofree char *name =
			equals ? xstrndup(more->items[i], (size_t)(equals - more->items[i])) : NULL;

		if (name)
			add_env(env, name, equals + 1);
	}
}

static void fill_args(struct strv *args, const struct shim_command *c, const char *action)
{
	const char *pairs[][2] = {
		{"-namespace", c->ns},
		{"-address", str_or(c->options->address, "")},
		{"-publish-binary", str_or(c->options->daemon_path, "")},
		{"-id", c->id},
		{"-bundle", strcmp(action, "delete") == 0 ? c->bundle : NULL},
	};

	strv_add(args, c->binary);
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		if (!pairs[i][1])
			continue;
		strv_add(args, pairs[i][0]);
		strv_add(args, pairs[i][1]);
	}
	if (c->options->debug)
		strv_add(args, "-debug");
	strv_add(args, action);
}

static struct err *run(const struct shim_command *c, const char *action, const void *input,
	size_t len, int64_t timeout_ms, struct cancel *cancel, struct spawn_result *ret)
{
	autoval(strv) args = STRV_INIT;
	autoval(strv) env = STRV_INIT;
	struct spawn_options o = {.path = c->binary, .cwd = c->bundle, .new_group = true};

	fill_args(&args, c, action);
	fill_env(&env, c);
	o.argv = strv_argv(&args);
	o.env = strv_argv(&env);
	return spawn_run(&o, input, len, OUTPUT_MAX, monotonic_ms() + timeout_ms, cancel, ret);
}

/* "<what it printed>: exit status 1" */
static struct err *exit_error(const struct spawn_result *r)
{
	const char *text = r->err_len ? r->err_out : r->out;
	size_t len = strlen(text);

	while (len && (text[len - 1] == '\n' || text[len - 1] == ' '))
		len--;
	len = MIN(len, (size_t)4096);
	if (WIFSIGNALED(r->status))
		return err_new(ERR_UNKNOWN, "%.*s%ssignal: %s", (int)len, text, len ? ": " : "",
			strsignal(WTERMSIG(r->status)));
	return err_new(ERR_UNKNOWN, "%.*s%sexit status %d", (int)len, text, len ? ": " : "",
		WEXITSTATUS(r->status));
}

static bool failed(const struct spawn_result *r)
{
	return !WIFEXITED(r->status) || WEXITSTATUS(r->status) != 0;
}

/* --- generations --- */

enum shim_input shim_input_of_version(const char *text)
{
	static const char key[] = "Version:";
	const char *p = strstr(text, key);
	char *end;
	long major, minor;

	if (!p)
		return SHIM_INPUT_UNKNOWN;
	for (p += strlen(key); *p == ' ' || *p == '\t' || *p == 'v'; p++)
		;
	major = strtol(p, &end, 10);
	if (end == p || *end != '.')
		return SHIM_INPUT_UNKNOWN;
	p = end + 1;
	minor = strtol(p, &end, 10);
	if (end == p)
		return SHIM_INPUT_UNKNOWN;
	/* Ours has read parameters from the start, whatever level of the API it names. */
	if (strncmp(end + strspn(end, ".0123456789"), OWN_BUILD, strlen(OWN_BUILD)) == 0)
		return SHIM_INPUT_PARAMS;
	return major > 2 || (major == 2 && minor >= 3) ? SHIM_INPUT_PARAMS : SHIM_INPUT_OPTIONS;
}

static enum shim_input probe(const char *binary)
{
	char *argv[] = {(char *)binary, (char *)"-v", NULL};
	struct spawn_options o = {.path = binary, .argv = argv, .new_group = true};
	autoval(spawn_result) r = {0};
	autoptr(err) e =
		spawn_run(&o, NULL, 0, OUTPUT_MAX, monotonic_ms() + PROBE_TIMEOUT_MS, NULL, &r);

	return e || failed(&r) ? SHIM_INPUT_UNKNOWN : shim_input_of_version(r.out);
}

static bool same_file(const struct shim_kind *k, const struct stat *st)
{
	return k->inode == st->st_ino && k->size == st->st_size &&
	       k->mtime.tv_sec == st->st_mtim.tv_sec && k->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

static void remember(
	struct shim_binaries *b, const char *binary, const struct stat *st, enum shim_input input)
{
	struct shim_kind *k = NEW(struct shim_kind);

	*k = (struct shim_kind){st->st_mtim, st->st_ino, st->st_size, input};
	LOCKED(&b->lock);
	free(map_set(&b->kinds, binary, k));
}

static enum shim_input input_of(struct shim_binaries *b, const char *binary, const struct stat *st)
{
	enum shim_input input;
	const struct shim_kind *k;

	lock_take(&b->lock);
	k = map_get(&b->kinds, binary);
	if (k && same_file(k, st)) {
		input = k->input;
		lock_drop(&b->lock);
		return input;
	}
	lock_drop(&b->lock);
	input = probe(binary);
	remember(b, binary, st, input);
	return input;
}

static int log_level_number(void)
{
	static const int numbers[] = {[LOG_TRACE] = -8,
		[LOG_DEBUG] = -4,
		[LOG_INFO] = 0,
		[LOG_WARN] = 4,
		[LOG_ERROR] = 8,
		[LOG_FATAL] = 10};

	return numbers[log_get_level()];
}

static void *pack_params(const struct shim_command *c, const struct any *options,
	struct arena *arena, size_t *ret_len)
{
	Bootstrap__BootstrapParams p = BOOTSTRAP__BOOTSTRAP_PARAMS__INIT;
	Bootstrap__Extension x = BOOTSTRAP__EXTENSION__INIT, *xs[] = {&x};

	p.instance_id = (char *)c->id;
	p.namespace_ = (char *)c->ns;
	p.log_level = (Bootstrap__LogLevel)log_level_number();
	p.containerd_version = (char *)str_or(c->options->version, "");
	p.containerd_ttrpc_address = (char *)str_or(c->options->ttrpc_address, "");
	p.containerd_grpc_address = (char *)str_or(c->options->address, "");
	p.containerd_binary = (char *)str_or(c->options->daemon_path, "");
	if (c->options->socket_dir) {
		p._socket_dir_case = BOOTSTRAP__BOOTSTRAP_PARAMS___SOCKET_DIR_SOCKET_DIR;
		p.socket_dir = (char *)c->options->socket_dir;
	}
	x.value = any_to_wire(options, arena);
	if (x.value) {
		p.extensions = xs;
		p.n_extensions = 1;
	}
	return message_pack(&p, arena, ret_len);
}

static struct err *start_with(const struct shim_command *c, enum shim_input input,
	const struct any *options, struct cancel *cancel, struct spawn_result *ret)
{
	autoptr(arena) arena = arena_new();
	const void *data = NULL;
	size_t len = 0;

	if (input == SHIM_INPUT_PARAMS)
		data = pack_params(c, options, arena, &len);
	else if (options->type_url)
		data = message_pack(any_to_wire(options, arena), arena, &len);
	return run(c, "start", data, len, START_TIMEOUT_MS, cancel, ret);
}

struct err *shim_binary_start(struct shim_binaries *b, const struct shim_command *c,
	const struct any *options, struct cancel *cancel, struct bootstrap *ret)
{
	static const struct any none = {0};
	autoval(spawn_result) r = {0};
	enum shim_input input;
	struct stat st;

	if (!options)
		options = &none;
	if (stat(c->binary, &st) < 0)
		return err_sys(errno, "shim %s", c->binary);
	input = input_of(b, c->binary, &st);
	TRY(start_with(c, input, options, cancel, &r));
	/* A shim that does not tell its version, built on the library that wants parameters. */
	if (failed(&r) && input == SHIM_INPUT_UNKNOWN && strstr(r.err_out, "deprecated API")) {
		spawn_result_done(&r);
		r = (struct spawn_result){0};
		remember(b, c->binary, &st, SHIM_INPUT_PARAMS);
		TRY(start_with(c, SHIM_INPUT_PARAMS, options, cancel, &r));
	}
	if (failed(&r))
		return exit_error(&r);
	return err_wrap(bootstrap_parse(r.out, r.out_len, ret), "shim %s", c->binary);
}

struct err *shim_binary_delete(
	const struct shim_command *c, int64_t timeout_ms, struct process_exit *ret)
{
	autoval(spawn_result) r = {0};
	autoptr(arena) arena = arena_new();
	const Shim3__DeleteResponse *response;
	void *m = NULL;

	TRY(run(c, "delete", NULL, 0, timeout_ms, NULL, &r));
	if (failed(&r))
		return exit_error(&r);
	TRY(err_wrap(
		message_unpack(&shim3__delete_response__descriptor, r.out, r.out_len, arena, &m),
		"shim %s delete", c->binary));
	response = m;
	ret->pid = response->pid;
	ret->status = response->exit_status;
	ret->at = timestamp_from_wire(response->exited_at);
	return NULL;
}

struct err *shim_binary_info(
	const char *binary, const struct any *options, struct cancel *cancel, struct any *ret)
{
	char *argv[] = {(char *)binary, (char *)"-info", NULL};
	struct spawn_options o = {.path = binary, .argv = argv, .new_group = true};
	autoptr(arena) arena = arena_new();
	autoval(spawn_result) r = {0};
	void *m = NULL, *input = NULL;
	size_t len = 0;

	if (options && options->type_url)
		input = message_pack(any_to_wire(options, arena), arena, &len);
	TRY(spawn_run(&o, input, len, OUTPUT_MAX, monotonic_ms() + START_TIMEOUT_MS, cancel, &r));
	if (failed(&r))
		return err_wrap(exit_error(&r), "failed to run [%s -info]", binary);
	TRY(err_wrap(message_unpack(&types__runtime_info__descriptor, r.out, r.out_len, arena, &m),
		"[%s -info]", binary));
	any_set(ret, "containerd.types.RuntimeInfo", r.out, r.out_len);
	return NULL;
}
