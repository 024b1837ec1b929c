// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "ctr/ctr.h"
#include "ctr/metrics.h"
#include "ctr/task-run.h"

#include <containerd/tasks.h>

#define STOP_SIGNAL_LABEL "io.containerd.image.config.stop-signal"

static const char *const status_names[] = {
	"UNKNOWN", "CREATED", "RUNNING", "STOPPED", "PAUSED", "PAUSING"};

static struct err *need_id(struct invocation *in)
{
	return *arg(in, 0) ? NULL : err_new(ERR_INVALID, "container id must be provided");
}

static struct err *run_list(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_tasks *list = NULL;
	autoptr(table) t = table_new(4, 8, 4, ' ');
	bool quiet = flag_bool(in, "quiet");

	TRY(connect_client(in, &client));
	CALL(ctd_task_list(client, &list));
	if (!quiet)
		table_add(t, "TASK\tPID\tSTATUS\t\n");
	for (size_t i = 0; i < list->n; i++) {
		const struct ctd_task *task = list->items[i];

		if (quiet)
			puts(task->id);
		else
			table_addf(t, "%s\t%" PRIu32 "\t%s\n", task->id, task->pid,
				status_names[task->status < ARRAY_LEN(status_names) ? task->status
										    : 0]);
	}
	table_print(t, stdout);
	return NULL;
}

static struct err *run_ps(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_pids *pids = NULL;
	autoptr(table) t = table_new(1, 8, 4, ' ');

	TRY(need_id(in));
	TRY(connect_client(in, &client));
	CALL(ctd_task_pids(client, arg(in, 0), &pids));
	table_add(t, "PID\tINFO\n");
	for (size_t i = 0; i < pids->n; i++) {
		const struct ctd_pid *p = &pids->items[i];

		if (*p->exec_id)
			table_addf(t, "%" PRIu32 "\texec_id:\"%s\"\n", p->pid, p->exec_id);
		else
			table_addf(t, "%" PRIu32 "\t-\n", p->pid);
	}
	table_print(t, stdout);
	return NULL;
}

/* What the image says, unless the user does. */
static struct err *choose_signal(
	struct invocation *in, const struct ctd_container *container, int *ret)
{
	const char *text = flag_string(in, "signal");

	for (size_t i = 0; !*text && i < container->labels.n; i++) {
		if (strcmp(container->labels.items[i].key, STOP_SIGNAL_LABEL) == 0)
			text = container->labels.items[i].value;
	}
	return signal_parse(*text ? text : "SIGTERM", ret);
}

static struct err *run_kill(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_container *container = NULL;
	const char *exec_id = or_null(flag_string(in, "exec-id"));
	bool all = flag_bool(in, "all");
	int signal = 0;

	TRY(need_id(in));
	if (all && exec_id)
		return err_new(ERR_INVALID, "specify an exec-id or all; not both");
	if (*flag_string(in, "signal"))
		TRY(signal_parse(flag_string(in, "signal"), &signal));
	TRY(connect_client(in, &client));
	CALL(ctd_container_get(client, arg(in, 0), &container));
	TRY(choose_signal(in, container, &signal));
	return from_ctd(ctd_task_kill(client, arg(in, 0), exec_id, (uint32_t)signal, all));
}

static struct err *run_pause(struct invocation *in)
{
	auto_client *client = NULL;

	TRY(need_id(in));
	TRY(connect_client(in, &client));
	return from_ctd(ctd_task_pause(client, arg(in, 0)));
}

static struct err *run_resume(struct invocation *in)
{
	auto_client *client = NULL;

	TRY(need_id(in));
	TRY(connect_client(in, &client));
	return from_ctd(ctd_task_resume(client, arg(in, 0)));
}

static struct err *delete_one(struct invocation *in, struct ctd_client *client, const char *id)
{
	auto_record struct ctd_container *container = NULL;
	uint32_t status = 0;

	CALL(ctd_container_get(client, id, &container));
	CALL(ctd_task_delete(client, id, NULL, flag_bool(in, "force"), &status));
	if (status != 0) {
		autofree char *text =
			xasprintf("task %s exit with non-zero exit code %" PRIu32, id, status);

		log_warn(text);
	}
	return NULL;
}

static struct err *run_delete(struct invocation *in)
{
	auto_client *client = NULL;
	autoptr(err) first = NULL;
	const char *exec_id = flag_string(in, "exec-id");
	uint32_t status = 0;

	TRY(need_id(in));
	TRY(connect_client(in, &client));
	if (*exec_id) {
		CALL(ctd_task_delete(client, arg(in, 0), exec_id, flag_bool(in, "force"), &status));
		return exit_with(in, (int)status);
	}
	for (size_t i = 0; i < arg_count(in); i++) {
		autofree char *what = xasprintf("unable to delete %s", arg(in, i));

		first = first_error(TAKE(first), delete_one(in, client, arg(in, i)), what);
	}
	return TAKE(first);
}

/* Whether the spec asks for a terminal. */
static bool has_terminal(const struct ctd_container *container)
{
	autoptr(json_object) spec = json_document(container->spec);

	return json_object_get_boolean(json_find(spec, "process.terminal"));
}

/* The signals have to be taken before there are threads; whether there is a terminal is known only
 * after the container was asked for. */
static struct err *find_terminal(struct foreground *f, bool wanted)
{
	foreground_done(f);
	return foreground_init(f, wanted);
}

static struct err *run_start(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_container *container = NULL;
	struct ctd_task_options options = CTD_TASK_INIT;
	autoval(foreground) f = FOREGROUND_INIT;

	TRY(need_id(in));
	TRY(foreground_init(&f, false));
	TRY(connect_client(in, &client));
	CALL(ctd_container_get(client, arg(in, 0), &container));
	bool tty = has_terminal(container);
	TRY(find_terminal(&f, tty && !flag_bool(in, "detach")));
	options.no_pivot = flag_bool(in, "no-pivot");
	return task_run(in, client, container, tty, &options, &f);
}

static struct err *run_exec(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_container *container = NULL;
	struct ctd_exec_options options = CTD_EXEC_INIT;
	struct ctd_io_options io = CTD_IO_INIT;
	struct ctd_process *p = NULL;
	autoval(foreground) f = FOREGROUND_INIT;
	bool detach = flag_bool(in, "detach");

	TRY(need_id(in));
	io.terminal = flag_bool(in, "tty");
	io.log_uri = flag_string(in, "log-uri");
	io.fifo_dir = flag_string(in, "fifo-dir");
	io.detach = detach;
	if (io.terminal && *io.log_uri)
		return err_new(ERR_INVALID, "can't use log-uri with tty");
	if (*io.log_uri && *io.fifo_dir)
		return err_new(ERR_INVALID, "can't use log-uri with fifo-dir");
	options.exec_id = flag_string(in, "exec-id");
	options.cwd = flag_string(in, "cwd");
	options.user = flag_string(in, "user");
	options.args = (struct ctd_strings){.n = arg_count(in) - 1, .items = names_from(in, 1)};
	if (options.args.n == 0)
		return err_new(ERR_INVALID, "a command to execute must be provided");
	TRY(foreground_init(&f, io.terminal && !detach));
	TRY(connect_client(in, &client));
	CALL(ctd_container_get(client, arg(in, 0), &container));
	bool terminal = io.terminal;
	foreground_streams(&f, &io);
	io.terminal = terminal;
	TRY(foreground_raw(&f));
	CALL(ctd_task_exec(client, container, &options, &io, &p));
	struct err *e = from_ctd(ctd_process_start(p));
	if (e)
		ctd_error_free(ctd_process_delete(p, NULL));
	else if (!detach)
		e = process_follow(in, p, &f);
	ctd_process_free(p);
	return e;
}

static struct err *run_attach(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_container *container = NULL;
	struct ctd_io_options io = CTD_IO_INIT;
	struct ctd_process *p = NULL;
	autoval(foreground) f = FOREGROUND_INIT;

	TRY(need_id(in));
	TRY(foreground_init(&f, false));
	TRY(connect_client(in, &client));
	CALL(ctd_container_get(client, arg(in, 0), &container));
	TRY(find_terminal(&f, has_terminal(container)));
	foreground_streams(&f, &io);
	CALL(ctd_task_attach(client, arg(in, 0), &io, &p));
	struct err *e = foreground_raw(&f);
	if (!e)
		e = process_follow(in, p, &f);
	ctd_process_free(p);
	return e;
}

static struct err *run_metrics(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_metrics *m = NULL;
	const char *format = flag_string(in, "format");
	bool json = strcmp(format, "json") == 0;

	if (!json && strcmp(format, "table") != 0)
		return err_new(ERR_INVALID, "format must be table or json");
	TRY(need_id(in));
	TRY(connect_client(in, &client));
	CALL(ctd_task_metrics(client, arg(in, 0), &m));
	autoptr(json_object) o = json_document(m->json);
	if (json)
		print_json(o);
	else
		metrics_print(m, o);
	return NULL;
}

static struct err *run_checkpoint(struct invocation *in)
{
	auto_client *client = NULL;
	struct ctd_checkpoint_options options = CTD_CHECKPOINT_INIT;

	TRY(need_id(in));
	options.exit = flag_bool(in, "exit");
	options.image_path = flag_string(in, "image-path");
	options.work_path = flag_string(in, "work-path");
	TRY(connect_client(in, &client));
	return from_ctd(ctd_task_checkpoint(client, arg(in, 0), &options));
}

static const struct flag checkpoint_flags[] = {
	{"exit", "stop the container after the checkpoint", FLAG_BOOL},
	{"image-path", "where CRIU writes its images", FLAG_STRING, .is_required = true},
	{"work-path", "where CRIU works and logs", FLAG_STRING},
	FLAGS_END,
};

static const struct flag delete_flags[] = {
	{"force, f", "kill the task first", FLAG_BOOL},
	{"exec-id", "delete this process of an exec instead", FLAG_STRING},
	FLAGS_END,
};

static const struct flag exec_flags[] = {
	{"cwd", "working directory of the process", FLAG_STRING},
	{"tty, t", "give the process a terminal", FLAG_BOOL},
	{"detach, d", "return when the process has started", FLAG_BOOL},
	{"exec-id", "name for the process, unique in the container", FLAG_STRING,
		.is_required = true},
	{"fifo-dir", "where to make the FIFOs for input and output", FLAG_STRING},
	{"log-uri", "where the shim is to write output: file://, binary:// or fifo://",
		FLAG_STRING},
	{"user", "user of the process, as name, uid, or either with :group", FLAG_STRING},
	FLAGS_END,
};

static const struct flag list_flags[] = {
	{"quiet, q", "print only the tasks' ids", FLAG_BOOL},
	FLAGS_END,
};

static const struct flag kill_flags[] = {
	{"signal, s", "signal to send, by name or number", FLAG_STRING},
	{"exec-id", "send it to this process of an exec", FLAG_STRING},
	{"all, a", "send it to all processes in the container", FLAG_BOOL},
	FLAGS_END,
};

static const struct flag start_flags[] = {
	{"null-io", "connect input and output to /dev/null", FLAG_BOOL},
	{"log-uri", "where the shim is to write output: file://, binary:// or fifo://",
		FLAG_STRING},
	{"fifo-dir", "where to make the FIFOs for input and output", FLAG_STRING},
	{"pid-file", "file to write the process's pid to", FLAG_STRING},
	{"detach, d", "return when the container has started", FLAG_BOOL},
	{"no-pivot", "do not use pivot_root(2)", FLAG_BOOL},
	FLAGS_END,
};

static const struct flag metrics_flags[] = {
	{"format", "\"table\" or \"json\"", FLAG_STRING, "table"},
	FLAGS_END,
};

static const struct command commands[] = {
	{"attach", NULL, "attach to the IO of a running container", "CONTAINER", .run = run_attach},
	{"checkpoint", NULL, "checkpoint a container", "[flags] CONTAINER",
		.flags = {checkpoint_flags}, .run = run_checkpoint},
	{"delete", "del, remove, rm", "delete one or more tasks",
		"[flags] CONTAINER [CONTAINER, ...]", .flags = {delete_flags}, .run = run_delete},
	{"exec", NULL, "execute additional processes in an existing container",
		"[flags] CONTAINER CMD [ARG...]", .flags = {exec_flags}, .run = run_exec,
		.ends_flags = true},
	{"list", "ls", "list tasks", "[flags]", .flags = {list_flags}, .run = run_list},
	{"kill", NULL, "signal a container (default: SIGTERM)", "[flags] CONTAINER",
		.flags = {kill_flags}, .run = run_kill},
	{"pause", NULL, "pause an existing container", "CONTAINER", .run = run_pause},
	{"ps", NULL, "list processes for container", "CONTAINER", .run = run_ps},
	{"resume", NULL, "resume a paused container", "CONTAINER", .run = run_resume},
	{"start", NULL, "start a container that has been created", "CONTAINER",
		.flags = {start_flags}, .run = run_start},
	{"metrics", "metric", "get a single data point of metrics for a task", "CONTAINER",
		.flags = {metrics_flags}, .run = run_metrics},
	COMMANDS_END,
};

const struct command tasks_command = {
	.name = "tasks",
	.aliases = "t, task",
	.usage = "manage tasks",
	.commands = commands,
};
