// SPDX-License-Identifier: Apache-2.0
/* The decoders' framing: members, frames, headers, trailers, and what is behind them. */
#include <stdlib.h>
#include <string.h>

#include "archive/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUTPUT_MAX ((size_t)16 * 1024 * 1024)

struct input {
	const uint8_t *data;
	size_t len;
};

static ssize_t read_input(void *arg, void *data, size_t len)
{
	struct input *i = arg;
	size_t n = MIN(MIN(i->len, len), (size_t)333);

	memcpy(data, i->data, n);
	i->data += n;
	i->len -= n;
	return (ssize_t)n;
}

static struct err *decode(struct input *input)
{
	static uint8_t out[4096];
	autoptr(decoder) d = NULL;
	size_t total = 0, n;

	TRY(decoder_open(read_input, input, &d));
	do {
		TRY(decoder_read(d, out, sizeof(out), &n));
		total += n;
	} while (n > 0 && total < OUTPUT_MAX);
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	autoptr(err) e = decode(&input);

	if (e && !err_is(e, ERR_INVALID))
		abort();
	return 0;
}
