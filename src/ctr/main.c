// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include "ctr/ctr.h"

const char ctr_package[] = "containerd-c";
const char ctr_version[] = CTD_VERSION;
const char ctr_revision[] = CTD_REVISION;

static const struct flag global_flags[] = {
	{"debug", "log what is being done", FLAG_BOOL},
	{"address, a", "socket of the daemon", FLAG_STRING, "/run/containerd/containerd.sock",
		"CONTAINERD_ADDRESS"},
	{"timeout", "bound on the whole command, 0s for none", FLAG_DURATION},
	{"connect-timeout", "how long to wait for a daemon that is not there yet", FLAG_DURATION},
	{"namespace, n", "namespace to work in", FLAG_STRING, "default", "CONTAINERD_NAMESPACE"},
	{"help, h", "show help", FLAG_BOOL},
	{"version, v", "print the version", FLAG_BOOL},
	FLAGS_END,
};

int main(int argc, char **argv)
{
	const struct command commands[] = {plugins_command, version_command, containers_command,
		content_command, events_command, images_command, info_command, leases_command,
		namespaces_command, oci_command, run_command, sandboxes_command, snapshots_command,
		tasks_command, COMMANDS_END};
	const struct command root = {
		.name = "ctr",
		.usage = "\n"
			 "        __\n"
			 "  _____/ /______\n"
			 " / ___/ __/ ___/\n"
			 "/ /__/ /_/ /\n"
			 "\\___/\\__/_/\n"
			 "\n"
			 "containerd CLI\n",
		.description = "\n"
			       "Looks into the containerd daemon and works with what it has: for\n"
			       "debugging, administration and scripts that go down to the objects.",
		.flags = {global_flags},
		.commands = commands,
	};

	/* A reader that leaves is an error of write(2), as for everybody else. */
	signal(SIGPIPE, SIG_IGN);
	return cli_run(&root, argc, argv);
}
