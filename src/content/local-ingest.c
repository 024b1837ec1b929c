// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/strv.h"
#include "content/local-internal.h"
#include "content/verify.h"

#define SMALL_FILE_MAX 16384 /* ref, startedat, updatedat, total */
#define FILE_MODE 0644

char *ingest_dir(const struct local_store *s, const char *key)
{
	char hex[65];

	sha256_hex(key, strlen(key), hex);
	return xasprintf("%s/ingest/%s", s->root, hex);
}

static struct err *put(const char *dir, const char *name, const char *text)
{
	autofree char *path = path_join(dir, name);

	return file_write_atomic(path, text, strlen(text), FILE_MODE, false);
}

/* The text of a small file; NULL when it is not there or not text. */
static char *get(const char *dir, const char *name)
{
	autofree char *path = path_join(dir, name);
	autofree char *text = NULL;
	size_t len = 0;

	err_free(file_read(path, SMALL_FILE_MAX, &text, &len));
	return text && strlen(text) == len ? TAKE(text) : NULL;
}

static struct timestamp get_time(const char *dir, const char *name)
{
	autofree char *text = get(dir, name);
	struct timestamp t = {0};

	if (text)
		err_free(timestamp_parse(text, &t));
	return t;
}

static struct err *put_time(const char *dir, const char *name, struct timestamp t)
{
	char text[TIMESTAMP_TEXT];

	timestamp_format(t, text);
	return put(dir, name, text);
}

static int64_t get_total(const char *dir)
{
	autofree char *text = get(dir, "total");
	int64_t total = 0;
	char *end;

	if (!text)
		return 0;
	errno = 0;
	total = strtoll(text, &end, 10);
	return errno || *end || total < 0 ? 0 : total;
}

char *ingest_key(const char *dir)
{
	autofree char *key = get(dir, "ref");

	return str_empty(key) ? NULL : TAKE(key);
}

struct err *ingest_touch(const char *dir, struct timestamp t)
{
	return put_time(dir, "updatedat", t);
}

struct err *ingest_read(const char *dir, struct ingest_status *ret)
{
	autofree char *data = path_join(dir, "data");
	struct ingest_status s = {.key = ingest_key(dir)};
	struct stat st;

	if (!s.key)
		return err_new(ERR_NOT_FOUND, "%s: no ingest", dir);
	s.total = get_total(dir);
	s.started_at = get_time(dir, "startedat");
	s.updated_at = get_time(dir, "updatedat");
	if (stat(data, &st) == 0) {
		struct timestamp written = {st.st_mtim.tv_sec, (int32_t)st.st_mtim.tv_nsec};

		s.offset = st.st_size;
		if (timestamp_compare(written, s.updated_at) > 0)
			s.updated_at = written;
	}
	*ret = s;
	return NULL;
}

static struct err *create(const char *dir, const char *key, int64_t total)
{
	struct timestamp now = timestamp_now();

	TRY(remove_tree(dir));
	if (mkdir(dir, 0755) < 0)
		return err_sys(errno, "create directory %s", dir);
	TRY(put_time(dir, "startedat", now));
	TRY(put_time(dir, "updatedat", now));
	if (total > 0) {
		autofree char *text = xasprintf("%" PRId64, total);

		TRY(put(dir, "total", text));
	}
	/* Last: an ingest without it is one that never began. */
	return put(dir, "ref", key);
}

struct err *ingest_prepare(
	const char *dir, const char *key, int64_t total, struct ingest_status *ret)
{
	autoval(ingest_status) old = {0};
	autoptr(err) e = ingest_read(dir, &old);

	if (e || strcmp(old.key, key) != 0 || (total && old.total && total != old.total)) {
		TRY(create(dir, key, total));
		ingest_status_done(&old);
		TRY(ingest_read(dir, &old));
	}
	*ret = old;
	old = (struct ingest_status){0};
	return NULL;
}
