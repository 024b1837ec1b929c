// SPDX-License-Identifier: Apache-2.0
#include "shim/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/json.h"
#include "shim/exec.h"

/* What a command may print; the file is sealed at this size, so more is refused by the kernel. */
#define OUTPUT_MAX 16384
/* Of a log, only so much at its end is looked at. */
#define LOG_MAX 65536

struct running {
	struct loop *loop;
	runtime_fn fn;
	void *arg;
	char *binary, *log;
	off_t log_start; /* where this command's lines begin */
	int output_fd;
	struct err *not_started;
	uint32_t status;
};

void runtime_init(struct runtime *rt, const char *binary, const char *root, const char *ns,
	const char *bundle, bool systemd_cgroup)
{
	rt->binary = xstrdup(str_empty(binary) ? RUNTIME_DEFAULT : binary);
	rt->root = path_join(str_empty(root) ? RUNTIME_ROOT : root, ns);
	rt->log = path_join(bundle, "log.json");
	rt->systemd_cgroup = systemd_cgroup;
}

void runtime_done(struct runtime *rt)
{
	free(rt->binary);
	free(rt->root);
	free(rt->log);
}

bool runtime_is_native(const struct runtime *rt)
{
	const char *name = path_base(rt->binary);

	return !strcmp(name, "runc") || !strcmp(name, "crun") || !strcmp(name, "youki");
}

void runtime_argv(const struct runtime *rt, struct strv *argv)
{
	const char *const words[] = {
		rt->binary, "--root", rt->root, "--log", rt->log, "--log-format", "json"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		strv_add(argv, words[i]);
	if (rt->systemd_cgroup)
		strv_add(argv, "--systemd-cgroup");
}

char *runtime_last_error(const char *text, size_t len)
{
	char *found = NULL;
	const char *end = text + len;

	for (const char *line = text; line < end;) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		autoptr(json_object) o = NULL;
		autoptr(err) e = NULL;

		stop = stop ? stop : end;
		e = json_parse(line, (size_t)(stop - line), &o);
		if (!e && str_eq(json_find_string(o, "level"), "error") &&
			json_find_string(o, "msg")) {
			free(found);
			found = xstrdup(json_find_string(o, "msg"));
		}
		line = stop + 1;
	}
	for (size_t n = found ? strlen(found) : 0; n && strchr(" \t\r\n", found[n - 1]);)
		found[--n] = '\0';
	return found;
}

static char *read_log_error(const struct running *r)
{
	autofd fd = open(r->log, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	autofree char *text = NULL;
	off_t from = r->log_start;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= from)
		return NULL;
	from = MAX(from, st.st_size - LOG_MAX);
	text = xmalloc(LOG_MAX);
	n = pread(fd, text, LOG_MAX, from);
	return n > 0 ? runtime_last_error(text, (size_t)n) : NULL;
}

static char *read_output(int fd)
{
	char *text = xmalloc(OUTPUT_MAX + 1);
	ssize_t n = fd < 0 ? 0 : pread(fd, text, OUTPUT_MAX, 0);

	text[n > 0 ? n : 0] = '\0';
	for (size_t len = strlen(text); len && strchr(" \t\r\n", text[len - 1]);)
		text[--len] = '\0';
	return text;
}

static void running_end(struct running *r)
{
	struct runtime_result result = {
		.not_started = r->not_started, .status = r->status, .binary = r->binary};
	autofree char *output = NULL, *log_error = NULL;

	if (runtime_failed(&result)) {
		output = read_output(r->output_fd);
		log_error = read_log_error(r);
	} else if (r->output_fd >= 0) {
		output = read_output(r->output_fd);
	}
	result.output = str_or(output, "");
	result.log_error = log_error;
	r->fn(r->arg, &result);
	if (r->output_fd >= 0)
		close(r->output_fd);
	err_free(r->not_started);
	free(r->binary);
	free(r->log);
	free(r);
}

static void on_not_started(void *arg)
{
	running_end(arg);
}

static void on_command_exit(void *arg, const struct child_exit *exit)
{
	struct running *r = arg;

	r->status = exit->status;
	running_end(r);
}

static int output_new(void)
{
	int fd = memfd_create("runtime-output", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && (ftruncate(fd, OUTPUT_MAX) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int input_new(const void *data, size_t len)
{
	int fd = memfd_create("runtime-input", MFD_CLOEXEC);

	if (fd >= 0 && (write_full(fd, data, len) < 0 || lseek(fd, 0, SEEK_SET) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

void runtime_start(struct loop *loop, struct reaper *reaper, const struct runtime *rt,
	struct runtime_call *call)
{
	autoval(strv) argv = call->argv;
	struct running *r = NEW(struct running);
	autofd input = call->input ? input_new(call->input, call->input_len) : -1;
	int captured[3];
	struct exec_options options = {
		.argv = strv_argv(&argv), .fds = call->fds ? call->fds : captured, .n_fds = 3};
	struct stat st;
	pid_t pid;

	call->argv = STRV_INIT;
	*r = (struct running){.loop = loop,
		.fn = call->fn,
		.arg = call->arg,
		.binary = xstrdup(rt->binary),
		.log = xstrdup(rt->log),
		.output_fd = -1};
	if (!call->fds)
		r->output_fd = output_new();
	captured[0] = input;
	captured[1] = captured[2] = r->output_fd;
	r->log_start = stat(rt->log, &st) < 0 ? 0 : st.st_size;
	r->not_started = exec_start(&options, &pid);
	if (r->not_started)
		loop_post(loop, on_not_started, r);
	else
		reaper_claim_new(reaper, pid, on_command_exit, r);
}

static struct err *not_started_error(const struct runtime_result *r)
{
	const char *name = path_base(r->binary);
	const char *package = !strcmp(name, "crun") || !strcmp(name, "runc") ? name : NULL;

	if (!err_is(r->not_started, ERR_NOT_FOUND))
		return err_new(ERR_UNKNOWN, "%s", err_message(r->not_started));
	if (package)
		return err_new(ERR_UNKNOWN, "%s: install the package %s, or name another runtime",
			err_message(r->not_started), package);
	return err_new(ERR_UNKNOWN, "%s: install it, or name another runtime",
		err_message(r->not_started));
}

struct err *runtime_plain_error(const struct runtime_result *r)
{
	const char *hint = "";

	if (!runtime_failed(r))
		return NULL;
	if (r->not_started)
		return not_started_error(r);
	if (r->status == 127)
		hint = " (command not found: is it the runtime, and are its libraries there?)";
	if (*r->output)
		return err_new(ERR_UNKNOWN,
			"%s did not terminate successfully: exit status %u%s: %s", r->binary,
			r->status, hint, r->output);
	return err_new(ERR_UNKNOWN, "%s did not terminate successfully: exit status %u%s",
		r->binary, r->status, hint);
}

struct err *runtime_error(const struct runtime_result *r, const char *what)
{
	if (!runtime_failed(r))
		return NULL;
	if (!r->not_started && !str_empty(r->log_error))
		return err_new(ERR_UNKNOWN, "%s: %s", what, r->log_error);
	return err_wrap(runtime_plain_error(r), "%s", what);
}
