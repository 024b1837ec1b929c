// SPDX-License-Identifier: Apache-2.0
#include "shim/info.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "proto/types.pb-c.h"
#include "rpc/message.h"
#include "shim/exec.h"
#include "shim/options.h"
#include "shim/runtime.h"

#define INPUT_MAX ((size_t)10 << 20)
#define FEATURES_MAX ((size_t)1 << 20)
#define FEATURES_TYPE "types.containerd.io/opencontainers/runtime-spec/1/features/Features"

static struct err *read_options(struct arena *a, Google__Protobuf__Any **ret, struct options *o)
{
	autofree char *data = NULL;
	size_t len = 0;
	void *any = NULL;

	options_init(o);
	if (isatty(STDIN_FILENO))
		return NULL;
	TRY(fd_read_all(STDIN_FILENO, INPUT_MAX, &data, &len));
	if (!len)
		return NULL;
	TRY(message_unpack(&google__protobuf__any__descriptor, data, len, a, &any));
	options_done(o);
	TRY(err_wrap(options_from_any(any, o), "failed to read runtime options"));
	*ret = any;
	return NULL;
}

/* Runtimes without the command have no features to tell; the rest of the answer holds. */
static struct err *ask_features(const char *binary, char **ret, size_t *ret_len)
{
	const char *const argv[] = {binary, "features", NULL};
	int out[2], status = 0;
	autofd from = -1;
	struct err *e;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0)
		return err_sys(errno, "create a pipe");
	from = out[0];
	e = exec_start(&(struct exec_options){.argv = (char *const *)(uintptr_t)argv,
			       .fds = (const int[]){-1, out[1], -1},
			       .n_fds = 3},
		&pid);
	close(out[1]);
	if (e)
		return err_wrap(e, "failed to look up the path of \"%s\"", binary);
	e = fd_read_all(from, FEATURES_MAX, ret, ret_len);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!e && status)
		*ret_len = 0;
	return e;
}

static void add_features(Types__RuntimeInfo *info, struct arena *a, const char *text, size_t len)
{
	autoptr(json_object) features = NULL;
	autoptr(err) e = len ? json_parse(text, len, &features) : NULL;
	const char *plain;

	if (e || !features)
		return;
	plain = json_object_to_json_string_ext(
		features, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	info->features = ARENA_NEW(a, Google__Protobuf__Any);
	google__protobuf__any__init(info->features);
	info->features->type_url = arena_strdup(a, FEATURES_TYPE);
	info->features->value.len = strlen(plain);
	info->features->value.data = arena_memdup(a, plain, strlen(plain));
}

struct err *info_run(void)
{
	Types__RuntimeInfo info = TYPES__RUNTIME_INFO__INIT;
	Types__RuntimeVersion version = TYPES__RUNTIME_VERSION__INIT;
	autoptr(arena) a = arena_new();
	autoval(options) o = {0};
	autofree char *features = NULL;
	size_t len = 0;
	void *packed;
	int r;

	info.name = arena_strdup(a, "io.containerd.runc.v2");
	version.version = arena_strdup(a, SHIM_VERSION);
	version.revision = arena_strdup(a, "");
	info.version = &version;
	TRY(read_options(a, &info.options, &o));
	TRY(ask_features(*o.binary_name ? o.binary_name : RUNTIME_DEFAULT, &features, &len));
	add_features(&info, a, features, len);
	packed = message_pack(&info, a, &len);
	r = write_full(STDOUT_FILENO, packed, len);
	return r < 0 ? err_sys(-r, "answer the daemon") : NULL;
}
