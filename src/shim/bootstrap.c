// SPDX-License-Identifier: Apache-2.0
#include "shim/bootstrap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "proto/bootstrap.pb-c.h"
#include "rpc/message.h"
#include "shim/cgroup.h"
#include "shim/exec.h"
#include "shim/socket.h"

#define INPUT_MAX ((size_t)10 << 20)
#define OOM_SCORE_MAX 1000
#define BIND_TRIES 5

/* --- what the daemon said --- */

void start_input_done(struct start_input *in)
{
	free(in->address);
	free(in->socket_dir);
	options_done(&in->options);
}

static void take_options(struct start_input *in, const Google__Protobuf__Any *any)
{
	struct options found;
	struct err *e;

	if (!any_is(any, "containerd.runc.v1.Options"))
		return;
	e = options_from_any(any, &found);
	if (e) {
		err_free(e);
		options_done(&found);
		return;
	}
	options_done(&in->options);
	in->options = found;
}

static void from_params(struct start_input *in, const Bootstrap__BootstrapParams *p)
{
	in->is_bootstrap = true;
	in->debug = in->debug || p->log_level <= BOOTSTRAP__LOG_LEVEL__LOG_LEVEL_DEBUG;
	if (*p->containerd_grpc_address) {
		free(in->address);
		in->address = xstrdup(p->containerd_grpc_address);
	}
	if (p->_socket_dir_case == BOOTSTRAP__BOOTSTRAP_PARAMS___SOCKET_DIR_SOCKET_DIR &&
		*p->socket_dir) {
		free(in->socket_dir);
		in->socket_dir = xstrdup(p->socket_dir);
	}
	for (size_t i = 0; i < p->n_extensions; i++)
		if (p->extensions[i]->value)
			take_options(in, p->extensions[i]->value);
}

void start_input_parse(
	const void *data, size_t len, const struct flags *flags, struct start_input *ret)
{
	autoptr(arena) a = arena_new();
	void *m = NULL;
	struct err *e;

	*ret = (struct start_input){.debug = flags->debug,
		.address = xstrdup(flags->address),
		.socket_dir = xstrdup("")};
	options_init(&ret->options);
	if (!len)
		return;
	e = message_unpack(&bootstrap__bootstrap_params__descriptor, data, len, a, &m);
	if (!e) {
		const Bootstrap__BootstrapParams *p = m;

		if (str_eq(p->instance_id, flags->id) && str_eq(p->namespace_, flags->ns)) {
			from_params(ret, p);
			return;
		}
	}
	err_free(e);
	e = message_unpack(&google__protobuf__any__descriptor, data, len, a, &m);
	if (!e)
		take_options(ret, m);
	err_free(e);
}

/* --- the socket --- */

/* fd -1 when a shim of the pod answers there already. */
static struct err *claim_socket(const char *path, int *ret_fd)
{
	struct err *e = NULL;

	for (int i = 0; i < BIND_TRIES; i++) {
		err_free(e);
		e = socket_listen(path, ret_fd);
		if (!err_is(e, ERR_EXISTS))
			return err_wrap(e, "create new shim socket");
		if (socket_alive(path)) {
			err_free(e);
			*ret_fd = -1;
			return NULL;
		}
		/* Left by a shim that was killed; or of one that is between bind and listen. */
		poll(NULL, 0, 10);
		if (!socket_alive(path))
			unlink(path);
	}
	return e;
}

/* --- the server --- */

static char *own_path(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n <= 0)
		return xstrdup("/proc/self/exe");
	path[n] = '\0';
	/* Replaced by an upgrade meanwhile: the file we run is still reachable. */
	return xstrdup(access(path, X_OK) == 0 ? path : "/proc/self/exe");
}

static struct err *start_server(
	const struct flags *f, const struct start_input *in, int listener, pid_t *ret)
{
	autofree char *self = own_path();
	autoval(strv) argv = STRV_INIT;
	const int fds[] = {-1, -1, -1, listener};
	struct exec_options options = {.fds = fds, .n_fds = ARRAY_LEN(fds), .new_session = true};
	const char *const words[] = {
		self, "-namespace", f->ns, "-id", f->id, "-address", in->address};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		strv_add(&argv, words[i]);
	if (in->debug)
		strv_add(&argv, "-debug");
	if (!str_empty(getenv("SCHED_CORE")) && prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0,
							PR_SCHED_CORE_SCOPE_PROCESS_GROUP, 0) < 0)
		return err_sys(errno, "enable sched core support");
	options.argv = strv_argv(&argv);
	return exec_start(&options, ret);
}

/* One worse than the daemon, so that the daemon is not killed before its shims. The kernel may
 * refuse: the shim works all the same. */
static void adjust_oom_score(pid_t pid)
{
	autofree char *daemon = xasprintf("/proc/%d/oom_score_adj", (int)getppid());
	autofree char *ours = xasprintf("/proc/%d/oom_score_adj", (int)pid), *text = NULL;
	autoptr(err) e = file_read(daemon, 64, &text, &(size_t){0});
	autofd fd = e ? -1 : open(ours, O_WRONLY | O_CLOEXEC);
	autofree char *score = NULL;

	if (fd < 0)
		return;
	score = xasprintf("%ld", MIN(strtol(text, NULL, 10) + 1, (long)OOM_SCORE_MAX));
	(void)!write(fd, score, strlen(score));
}

static struct err *place_server(const struct start_input *in, pid_t pid)
{
	autoptr(cgroup) c = NULL;

	if (*in->options.shim_cgroup) {
		TRY(err_wrap(cgroup_named(in->options.shim_cgroup, &c), "failed to load cgroup %s",
			in->options.shim_cgroup));
		TRY(err_wrap(
			cgroup_add(c, pid), "failed to join cgroup %s", in->options.shim_cgroup));
	}
	adjust_oom_score(pid);
	return NULL;
}

static struct err *serve_at(const struct flags *f, const struct start_input *in, const char *path)
{
	autofd listener = -1;
	struct err *e;
	pid_t pid;

	TRY(claim_socket(path, &listener));
	if (listener < 0)
		return NULL;
	e = start_server(f, in, listener, &pid);
	if (!e) {
		e = place_server(in, pid);
		if (e)
			kill(pid, SIGKILL);
	}
	if (e)
		unlink(path);
	return e;
}

/* --- the answer --- */

static struct err *write_out(const void *data, size_t len)
{
	int r = write_full(STDOUT_FILENO, data, len);

	return r < 0 ? err_sys(-r, "answer the daemon") : NULL;
}

static struct err *answer(const struct start_input *in, const char *path)
{
	autoptr(arena) a = arena_new();
	char *address = arena_printf(a, "unix://%s", path);
	Bootstrap__BootstrapResult result = BOOTSTRAP__BOOTSTRAP_RESULT__INIT;
	void *packed;
	size_t len;

	if (in->is_bootstrap) {
		result.version = 3;
		result.address = address;
		result.protocol = arena_strdup(a, "ttrpc");
		packed = message_pack(&result, a, &len);
		return write_out(packed, len);
	}
	/* Bare text is understood by every daemon before: 1.6 and 1.7 know nothing else (1.7 refuses
	 * version 3), 2.0 to 2.2 take it as version 2 over ttrpc, which is served too. The file is
	 * what 1.6 and 1.7 find the shim by when they start again. */
	TRY(file_write_atomic("address", address, strlen(address), 0600, false));
	return write_out(address, strlen(address));
}

static struct err *remember_socket_dir(const char *dir)
{
	if (unlink("s") < 0 && errno != ENOENT)
		return err_sys(errno, "remove existing socket dir link");
	return symlink(dir, "s") < 0 ? err_sys(errno, "failed to write socket-dir") : NULL;
}

struct err *bootstrap_run(const struct flags *f)
{
	autofree char *data = NULL, *group = NULL, *path = NULL;
	autoval(start_input) in = {0};
	size_t len = 0;

	if (!isatty(STDIN_FILENO))
		TRY(err_wrap(
			fd_read_all(STDIN_FILENO, INPUT_MAX, &data, &len), "failed to read stdin"));
	start_input_parse(data, len, f, &in);
	TRY(socket_group("config.json", f->id, &group));
	if (*in.socket_dir)
		TRY(remember_socket_dir(in.socket_dir));
	path = socket_name(*in.socket_dir ? in.socket_dir : SOCKET_DIR, in.address, f->ns, group);
	TRY(serve_at(f, &in, path));
	return answer(&in, path);
}
