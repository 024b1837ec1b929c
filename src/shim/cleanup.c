// SPDX-License-Identifier: Apache-2.0
#include "shim/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/identifier.h"
#include "base/log.h"
#include "proto/shim-v3.pb-c.h"
#include "rpc/message.h"
#include "shim/options.h"
#include "shim/runtime.h"
#include "shim/socket.h"
#include "sys/mount.h"

struct cleanup {
	struct loop *loop;
	const char *id;
};

static void on_deleted(void *arg, const struct runtime_result *result)
{
	struct cleanup *k = arg;
	autoptr(err) e = runtime_error(result, "runtime delete");

	if (e)
		log_warn("failed to remove runc container", "id", k->id, "error", err_message(e));
	loop_stop(k->loop);
}

/* Containers of the runtimes we know have a directory below the root. Usually there is none any more:
 * daemons call `delete` also after the shim has put everything away. */
static bool is_known(const struct runtime *rt, const char *id)
{
	autofree char *dir = path_join(rt->root, id);

	return !runtime_is_native(rt) || access(dir, F_OK) == 0;
}

static struct err *delete_container(const struct flags *f, const char *bundle)
{
	struct cleanup k = {.id = f->id};
	struct runtime_call call = {.fn = on_deleted, .arg = &k};
	autoval(options) o = {0};
	autoval(runtime) rt = {0};
	struct reaper *reaper = NULL;
	autoptr(loop) loop = NULL;

	TRY(options_load(bundle, &o));
	runtime_init(&rt, o.binary_name, o.root, f->ns, bundle, o.systemd_cgroup);
	if (!is_known(&rt, f->id))
		return NULL;
	TRY(loop_new(&loop));
	TRY(reaper_new(loop, &reaper));
	k.loop = loop;
	runtime_argv(&rt, &call.argv);
	strv_add(&call.argv, "delete");
	strv_add(&call.argv, "--force");
	strv_add(&call.argv, f->id);
	runtime_start(loop, reaper, &rt, &call);
	loop_run(loop);
	reaper_free(reaper);
	return NULL;
}

/* A killed shim leaves its socket; one that still serves others of the pod keeps it. */
static void remove_dead_socket(const struct flags *f, const char *bundle)
{
	autofree char *config = path_join(bundle, "config.json"), *group = NULL, *path = NULL;
	autofree char *link = path_join(bundle, "s");
	char dir[4096];
	ssize_t n = readlink(link, dir, sizeof(dir) - 1);
	autoptr(err) e = socket_group(config, f->id, &group);

	dir[n > 0 ? n : 0] = '\0';
	path = socket_name(n > 0 ? dir : SOCKET_DIR, f->address, f->ns, e ? f->id : group);
	if (!socket_alive(path))
		unlink(path);
}

static uint32_t init_pid(const char *bundle)
{
	autofree char *path = path_join(bundle, "init.pid"), *text = NULL;
	autoptr(err) e = file_read(path, 64, &text, &(size_t){0});

	return e ? 0 : (uint32_t)strtoul(text, NULL, 10);
}

static struct err *find_bundle(const struct flags *f, char **ret)
{
	autofree char *cwd = NULL, *parent = NULL;

	if (*f->bundle) {
		*ret = xstrdup(f->bundle);
		return NULL;
	}
	cwd = getcwd(NULL, 0);
	if (!cwd)
		return err_sys(errno, "working directory");
	parent = path_dir(cwd);
	*ret = path_join(parent, f->id);
	return NULL;
}

struct err *cleanup_run(const struct flags *f)
{
	Shim3__DeleteResponse reply = SHIM3__DELETE_RESPONSE__INIT;
	autofree char *bundle = NULL, *rootfs = NULL;
	autoptr(arena) a = arena_new();
	autoptr(err) e = NULL;
	void *packed;
	size_t len;
	int r;

	TRY(identifier_check(f->id));
	TRY(find_bundle(f, &bundle));
	TRY(delete_container(f, bundle));
	rootfs = path_join(bundle, "rootfs");
	e = mount_detach(rootfs);
	if (e)
		log_warn("failed to cleanup rootfs mount", "id", f->id, "error", err_message(e));
	remove_dead_socket(f, bundle);
	reply.pid = init_pid(bundle);
	reply.exit_status = 128 + SIGKILL;
	reply.exited_at = timestamp_to_wire(timestamp_now(), a);
	packed = message_pack(&reply, a, &len);
	r = write_full(STDOUT_FILENO, packed, len);
	return r < 0 ? err_sys(-r, "answer the daemon") : NULL;
}
