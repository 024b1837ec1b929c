// SPDX-License-Identifier: Apache-2.0
#include "ctr/task-run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"

static struct err *write_pid_file(struct invocation *in, const struct ctd_process *p)
{
	const char *path = flag_string(in, "pid-file");
	char text[16];

	if (!*path)
		return NULL;
	snprintf(text, sizeof(text), "%" PRIu32, ctd_process_pid(p));
	return err_wrap(
		file_write_atomic(path, text, strlen(text), 0644, false), "pid file %s", path);
}

struct err *process_follow(struct invocation *in, struct ctd_process *p, struct foreground *f)
{
	uint32_t status = 0;

	TRY(foreground_wait(f, p, &status));
	CALL(ctd_process_delete(p, NULL));
	return exit_with(in, (int)status);
}

static struct err *start_and_follow(
	struct invocation *in, struct ctd_process *p, struct foreground *f)
{
	struct err *e = write_pid_file(in, p);

	if (!e)
		e = from_ctd(ctd_process_start(p));
	if (e) {
		/* What could not start is of no use to anybody. */
		ctd_error_free(ctd_process_delete(p, NULL));
		return e;
	}
	return flag_bool(in, "detach") ? NULL : process_follow(in, p, f);
}

struct err *task_run(struct invocation *in, struct ctd_client *client,
	const struct ctd_container *container, bool tty, const struct ctd_task_options *options,
	struct foreground *f)
{
	struct ctd_io_options io = CTD_IO_INIT;
	struct ctd_process *p = NULL;

	if (tty && flag_bool(in, "null-io"))
		return err_new(ERR_INVALID, "tty and null-io cannot be used together");
	foreground_streams(f, &io);
	io.terminal = tty;
	io.null = flag_bool(in, "null-io");
	io.log_uri = flag_string(in, "log-uri");
	io.fifo_dir = flag_string(in, "fifo-dir");
	io.detach = flag_bool(in, "detach");
	TRY(foreground_raw(f));
	CALL(ctd_task_create(client, container, &io, options, &p));
	struct err *e = start_and_follow(in, p, f);
	ctd_process_free(p);
	return e;
}
