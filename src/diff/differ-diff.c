// SPDX-License-Identifier: Apache-2.0
/* The layers that are made: the worker writes one into a pipe, the daemon puts it into content. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fs.h"
#include "diff/differ-internal.h"
#include "diff/worker.h"

#define COPY_BYTES ((size_t)256 * 1024)

static const struct {
	const char *media_type, *compression;
} formats[] = {
	{MEDIA_TYPE_LAYER "+gzip", "gzip"}, /* what is made when none is asked for */
	{MEDIA_TYPE_LAYER "+zstd", "zstd"},
	{MEDIA_TYPE_LAYER, "none"},
};

/* A worker at work: its process, and our ends of the pipes it writes to. */
struct making {
	struct child child;
	int layer_fd, answer_fd;
};

static void making_done(struct making *m)
{
	if (m->layer_fd >= 0)
		close(m->layer_fd);
	if (m->answer_fd >= 0)
		close(m->answer_fd);
}
DEFINE_AUTOVAL(making, making_done);

static struct json_object *diff_job(const struct diff_request *request, const char *compression)
{
	struct json_object *job = worker_job_new();

	worker_job_add_mounts(job, "lower", request->lower);
	worker_job_add_mounts(job, "upper", request->upper);
	json_object_object_add(job, "compression", json_object_new_string(compression));
	if (request->has_source_date) {
		struct json_object *bound = json_object_new_array();

		json_object_array_add(bound, json_object_new_int64(request->source_date.sec));
		json_object_array_add(bound, json_object_new_int(request->source_date.nsec));
		json_object_object_add(job, "time_bound", bound);
	}
	return job;
}

static struct err *start(const struct differ *d, struct json_object *job, struct making *m)
{
	int layer[2], answer[2];
	autofd layer_in = -1, answer_in = -1, input = -1;
	struct worker_command command;

	TRY(worker_job_file(job, &input));
	if (pipe2(layer, O_CLOEXEC) < 0)
		return err_sys(errno, "create a pipe");
	m->layer_fd = layer[0];
	layer_in = layer[1];
	if (pipe2(answer, O_CLOEXEC) < 0)
		return err_sys(errno, "create a pipe");
	m->answer_fd = answer[0];
	answer_in = answer[1];
	/* Larger is only faster. */
	(void)fcntl(m->layer_fd, F_SETPIPE_SZ, (int)COPY_BYTES);
	struct spawn_fd fds[] = {{input, 0}, {answer_in, 1}, {layer_in, WORKER_LAYER_FD}};

	worker_command_init(&command, d->worker, "diff");
	command.options.fds = fds;
	command.options.n_fds = ARRAY_LEN(fds);
	return spawn(&command.options, &m->child);
}

/* Read once; *ret_len is 0 at the end. */
static struct err *read_some(int fd, struct cancel *cancel, void *data, size_t len, size_t *ret_len)
{
	struct pollfd fds[] = {{fd, POLLIN, 0}, {cancel_fd(cancel), POLLIN, 0}};
	ssize_t n;

	if (poll(fds, ARRAY_LEN(fds), -1) < 0 && errno != EINTR)
		return err_sys(errno, "poll");
	TRY(cancel_check(cancel));
	if (!fds[0].revents) {
		*ret_len = SIZE_MAX;
		return NULL;
	}
	n = read(fd, data, len);
	if (n < 0 && errno != EINTR)
		return err_sys(errno, "read from the worker");
	*ret_len = n < 0 ? SIZE_MAX : (size_t)n;
	return NULL;
}

static struct err *copy_layer(
	struct making *m, struct cancel *cancel, struct content_ingest *ingest, int64_t *ret_size)
{
	autofree uint8_t *data = xmalloc(COPY_BYTES);
	int64_t offset = 0;

	for (;;) {
		size_t n;

		TRY(read_some(m->layer_fd, cancel, data, COPY_BYTES, &n));
		if (n == SIZE_MAX)
			continue;
		if (n == 0)
			break;
		TRY(content_ingest_write(ingest, offset, data, n));
		offset += (int64_t)n;
	}
	*ret_size = offset;
	return NULL;
}

static struct err *read_answer(struct making *m, struct cancel *cancel, struct buf *to)
{
	char data[4096];

	for (;;) {
		size_t n;

		TRY(read_some(m->answer_fd, cancel, data, sizeof(data), &n));
		if (n == 0)
			return NULL;
		if (n != SIZE_MAX && !buf_append(to, data, n))
			return err_new(ERR_INTERNAL, "the worker's answer is too long");
	}
}

static struct err *follow(struct making *m, struct cancel *cancel, struct content_ingest *ingest,
	struct worker_answer *ret, int64_t *ret_size)
{
	autoval(buf) text = BUF_INIT(WORKER_ANSWER_MAX);
	struct err *e = copy_layer(m, cancel, ingest, ret_size);
	int status;

	if (!e)
		e = read_answer(m, cancel, &text);
	if (e) {
		/* Without a reader the worker ends by SIGPIPE, unless it is waiting for its disk. */
		struct cancel *now = cancel_new();

		cancel_fire(now, ERR_CANCELLED);
		err_free(child_wait(&m->child, -1, now, &status));
		cancel_unref(now);
		return e;
	}
	TRY(child_wait(&m->child, -1, cancel, &status));
	return worker_read_answer(status, buf_str(&text), text.len, ret);
}

static struct err *make_layer(struct differ *d, const struct diff_request *request,
	const char *compression, struct cancel *cancel, struct content_ingest *ingest,
	struct worker_answer *ret, int64_t *ret_size)
{
	autoptr(json_object) job = diff_job(request, compression);
	autoval(making) m = {.layer_fd = -1, .answer_fd = -1};

	/* An ingest that was begun before starts over. */
	TRY(content_ingest_write(ingest, 0, "", 0));
	TRY(start(d, job, &m));
	return follow(&m, cancel, ingest, ret, ret_size);
}

/* A blob that was there already may lack the label. */
static struct err *label_existing(
	struct differ *d, const struct scope *s, const char *digest, const char *uncompressed)
{
	autoval(blob_info) info = {0}, updated = {0};
	autoval(strmap) labels = STRMAP_INIT;
	char path[] = "labels." LABEL_UNCOMPRESSED;
	char *const paths[] = {path};

	TRY(content_info(d->content, s, digest, &info));
	if (!str_empty(strmap_get(&info.labels, LABEL_UNCOMPRESSED)))
		return NULL;
	strmap_set(&labels, LABEL_UNCOMPRESSED, uncompressed);
	return content_update(d->content, s, digest, &labels, paths, ARRAY_LEN(paths), &updated);
}

static struct err *commit(struct differ *d, const struct scope *s,
	struct content_ingest *take_ingest, const struct strmap *given, int64_t size,
	const char *digest, const char *uncompressed)
{
	autoval(strmap) labels = STRMAP_INIT;
	struct err *e;

	if (given)
		strmap_copy(&labels, given);
	strmap_set(&labels, LABEL_UNCOMPRESSED, uncompressed);
	e = content_ingest_commit(take_ingest, size, digest, &labels);
	if (!err_is(e, ERR_EXISTS))
		return e;
	err_free(e);
	return label_existing(d, s, digest, uncompressed);
}

static char *unique_ref(void)
{
	uint32_t random = 0;

	/* Without it the name is still new to the nanosecond. */
	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint32_t)getpid();
	return xasprintf("%" PRId64 "-%08" PRIx32, timestamp_to_ns(timestamp_now()), random);
}

static struct err *diff_into(struct differ *d, const struct scope *s,
	const struct diff_request *request, const char *ref, size_t format, struct cancel *cancel,
	struct descriptor *ret)
{
	autoptr(content_ingest) ingest = NULL;
	struct worker_answer answer;
	char digest[DIGEST_MAX];
	int64_t size = 0;

	TRY(content_ingest_open(d->content, s, ref, 0, NULL, &ingest));
	TRY(make_layer(d, request, formats[format].compression, cancel, ingest, &answer, &size));
	content_ingest_digest(ingest, digest);
	TRY(commit(d, s, TAKE(ingest), request->labels, size, digest, answer.digest));
	*ret = (struct descriptor){
		.media_type = xstrdup(formats[format].media_type),
		.digest = xstrdup(digest),
		.size = size,
	};
	return NULL;
}

struct err *differ_diff(struct differ *d, const struct scope *s, const struct diff_request *request,
	struct cancel *cancel, struct descriptor *ret)
{
	bool has_ref = !str_empty(request->ref);
	autofree char *ref = has_ref ? xstrdup(request->ref) : unique_ref();
	size_t format = 0;
	struct err *e;

	if (!str_empty(request->media_type))
		while (format < ARRAY_LEN(formats) &&
			!str_eq(formats[format].media_type, request->media_type))
			format++;
	if (format == ARRAY_LEN(formats))
		return err_new(ERR_UNIMPLEMENTED,
			"unsupported diff media type: %s: not implemented", request->media_type);
	e = diff_into(d, s, request, ref, format, cancel, ret);
	/* Nobody knows the name that was made up: nobody could resume. */
	if (e && !has_ref)
		err_free(content_ingest_abort(d->content, s, ref));
	return e ? err_wrap(e, "make layer") : NULL;
}
