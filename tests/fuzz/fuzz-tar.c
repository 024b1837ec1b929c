// SPDX-License-Identifier: Apache-2.0
/* The tar reader: whatever it is given, it ends, and what it hands out is inside its bounds. */
#include <stdlib.h>
#include <string.h>

#include "archive/tar-reader.h"
#include "archive/tree.h"
#include "base/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PIECE 700

struct input {
	const uint8_t *data;
	size_t len;
};

static struct err *read_input(void *arg, const uint8_t **ret, size_t *ret_len)
{
	struct input *i = arg;

	*ret = i->data;
	*ret_len = MIN(i->len, (size_t)PIECE);
	i->data += *ret_len;
	i->len -= *ret_len;
	return NULL;
}

static void must(bool is_true)
{
	if (!is_true)
		abort();
}

static struct err *read_data(struct tar_reader *r, const struct tar_entry *e)
{
	int64_t end = 0, offset;
	const uint8_t *data;
	size_t len;

	for (;;) {
		TRY(tar_reader_data(r, &data, &len, &offset));
		if (len == 0)
			return NULL;
		must(len <= PIECE && offset >= end && offset <= e->size - (int64_t)len);
		end = offset + (int64_t)len;
	}
}

static struct err *read_all(struct tar_reader *r)
{
	const struct tar_entry *e;

	for (;;) {
		char path[TAR_PATH_MAX];
		autoptr(err) outside = NULL;
		autofree char *shown = NULL;

		TRY(tar_reader_next(r, &e));
		if (!e)
			return tar_reader_drain(r);
		must(e->size >= 0 && (e->type == TAR_FILE || e->size == 0));
		must(strlen(e->name) < TAR_PATH_MAX && strlen(e->link) < TAR_PATH_MAX);
		must(e->mtime.nsec >= 0 && e->mtime.nsec < 1000000000);
		outside = tree_clean(e->name, path);
		must(outside || (path[0] != '/' && strncmp(path, "../", 3) != 0));
		shown = tar_printable(e->name);
		for (size_t i = 0; i < e->n_xattrs; i++)
			free(xmemdup(e->xattrs[i].value, e->xattrs[i].len));
		TRY(read_data(r, e));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	autoptr(tar_reader) r = tar_reader_new(read_input, &input);
	autoptr(err) e = read_all(r);

	must(!e || err_is(e, ERR_INVALID));
	return 0;
}
