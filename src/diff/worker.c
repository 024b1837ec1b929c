// SPDX-License-Identifier: Apache-2.0
#include "diff/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"

static char *const no_environment[] = {NULL};

struct json_object *worker_job_new(void)
{
	struct json_object *job = json_object_new_object();

	json_object_object_add(job, "parent", json_object_new_int64(getpid()));
	return job;
}

struct err *worker_job_file(struct json_object *job, int *ret)
{
	const char *text = json_object_to_json_string_ext(job, JSON_C_TO_STRING_PLAIN);
	autofd fd = memfd_create("job", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : write_full(fd, text, strlen(text));

	if (r < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(r < 0 ? -r : errno, "create a file in memory");
	*ret = TAKE_FD(fd);
	return NULL;
}

void worker_job_add_mounts(struct json_object *job, const char *name, const struct mounts *mounts)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < mounts->n; i++) {
		const struct mount *m = &mounts->items[i];
		struct json_object *item = json_object_new_object();
		struct json_object *options = json_object_new_array();

		json_object_object_add(item, "type", json_object_new_string(str_or(m->type, "")));
		json_object_object_add(
			item, "source", json_object_new_string(str_or(m->source, "")));
		json_object_object_add(
			item, "target", json_object_new_string(str_or(m->target, "")));
		for (size_t k = 0; k < m->options.n; k++)
			json_object_array_add(options, json_object_new_string(m->options.items[k]));
		json_object_object_add(item, "options", options);
		json_object_array_add(list, item);
	}
	json_object_object_add(job, name, list);
}

void worker_command_init(struct worker_command *ret, const char *program, const char *what)
{
	*ret = (struct worker_command){.argv = {"containerd-worker", what, NULL}};
	ret->options.path = program;
	ret->options.argv = (char *const *)ret->argv;
	ret->options.env = no_environment;
	ret->options.cwd = "/";
}

static struct err *no_answer(int status)
{
	if (WIFSIGNALED(status))
		return err_new(ERR_INTERNAL, "the worker was killed by signal %d (%s)",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	return err_new(
		ERR_INTERNAL, "the worker ended with status %d and no answer", WEXITSTATUS(status));
}

/* The worker has read foreign bytes: its answer is checked like anybody's. */
struct err *worker_read_answer(int status, const char *text, size_t len, struct worker_answer *ret)
{
	autoptr(json_object) o = NULL;
	struct json_object *class, *size;
	const char *digest, *message;

	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || len == 0)
		return no_answer(status);
	TRY(err_reclass(err_wrap(json_parse(text, len, &o), "the worker's answer"), ERR_INTERNAL));
	class = json_find(o, "class");
	message = json_find_string(o, "message");
	if (class && message) {
		int n = json_object_get_int(class);

		return err_new(
			n > ERR_OK && n <= ERR_UNAUTHENTICATED ? (enum err_class)n : ERR_UNKNOWN,
			"%s", message);
	}
	digest = json_find_string(o, "digest");
	size = json_find(o, "size");
	if (!digest || !digest_valid(digest) || !json_object_is_type(size, json_type_int))
		return err_new(ERR_INTERNAL, "the worker's answer has no digest and size");
	memcpy(ret->digest, digest, strlen(digest) + 1);
	ret->size = json_object_get_int64(size);
	return NULL;
}
