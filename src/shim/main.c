// SPDX-License-Identifier: Apache-2.0
/* containerd-shim-runc-v2: looks after the containers of one pod while the daemon comes and goes. */
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/strv.h"
#include "shim/bootstrap.h"
#include "shim/cleanup.h"
#include "shim/flags.h"
#include "shim/info.h"
#include "shim/server.h"

#define NAME "io.containerd.runc.v2"

static const char usage[] =
	"Usage of %s:\n"
	"  -address string\n    \tgrpc address back to main containerd\n"
	"  -bundle string\n    \tpath to the bundle if not workdir\n"
	"  -debug\n    \tenable debug output in logs\n"
	"  -debug-socket string\n    \taccepted for compatibility\n"
	"  -id string\n    \tid of the task\n"
	"  -info\n    \tget the option protobuf from stdin, print the shim info protobuf to "
	"stdout, and exit\n"
	"  -namespace string\n    \tnamespace that owns the shim\n"
	"  -publish-binary string\n    \taccepted for compatibility: events go to TTRPC_ADDRESS\n"
	"  -socket string\n    \tsocket path to serve\n"
	"  -v, -version\n    \tshow the shim version and exit\n";

static void print_version(const char *argv0)
{
	dprintf(STDOUT_FILENO, "%s:\n  Version:  %s\n  Revision: \n\n", path_base(argv0),
		SHIM_VERSION);
}

static struct err *run(const struct flags *f)
{
	if (f->info)
		return info_run();
	if (!*f->ns)
		return err_new(ERR_INVALID, "shim namespace cannot be empty");
	if (!strcmp(f->action, "start"))
		return bootstrap_run(f);
	if (!strcmp(f->action, "delete"))
		return cleanup_run(f);
	return server_run(f);
}

int main(int argc, char **argv)
{
	struct flags f;
	autoptr(err) e = flags_parse(argc, argv, &f);

	if (e) {
		dprintf(STDERR_FILENO, "%s\n", err_message(e));
		dprintf(STDERR_FILENO, usage, argv[0]);
		return 2;
	}
	if (f.version) {
		print_version(argv[0]);
		return 0;
	}
	e = run(&f);
	if (e)
		dprintf(STDERR_FILENO, "%s: %s\n", NAME, err_message(e));
	return e ? 1 : 0;
}
