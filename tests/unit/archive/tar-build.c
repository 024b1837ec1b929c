// SPDX-License-Identifier: Apache-2.0
#include "tar-build.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static void put(struct buf *b, const void *data, size_t len)
{
	bool ok = buf_append(b, data, len);

	assert(ok);
	(void)ok;
}

void tar_build_bytes(struct buf *b, const void *data, size_t len)
{
	static const uint8_t zeros[512];

	put(b, data, len);
	put(b, zeros, (512 - len % 512) % 512);
}

void tar_build_block(struct buf *b, uint8_t block[static 512])
{
	unsigned sum = 0;
	char text[8];

	memset(block + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += block[i];
	snprintf(text, sizeof(text), "%06o", sum & 0777777);
	memcpy(block + 148, text, 7);
	put(b, block, 512);
}

static void field(uint8_t *to, size_t size, unsigned long long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%0*llo", (int)size - 1, value);
	memcpy(to, text, size);
}

void tar_build_pax(struct buf *b, const char *key, const void *value, size_t len)
{
	struct buf record = BUF_INIT((size_t)64 * 1024 * 1024);
	size_t rest = strlen(key) + len + 3, total = rest;
	char digits[24];

	do {
		total = rest + (size_t)snprintf(digits, sizeof(digits), "%zu", total);
	} while (total != rest + (size_t)snprintf(digits, sizeof(digits), "%zu", total));
	put(&record, digits, strlen(digits));
	put(&record, " ", 1);
	put(&record, key, strlen(key));
	put(&record, "=", 1);
	put(&record, value, len);
	put(&record, "\n", 1);

	uint8_t h[512] = "pax";

	field(h + 124, 12, record.len);
	h[156] = 'x';
	memcpy(h + 257, "ustar\00000", 8);
	tar_build_block(b, h);
	tar_build_bytes(b, record.data, record.len);
	buf_done(&record);
}

/* All records of one spec go into one header, as a second header would replace the first. */
static void pax_header(struct buf *b, const char *records)
{
	struct buf body = BUF_INIT((size_t)1024 * 1024);
	uint8_t h[512] = "pax";

	while (*records) {
		size_t len = strcspn(records, "\n"), total = len + 2;
		char digits[24];

		do {
			total = len + 2 + (size_t)snprintf(digits, sizeof(digits), "%zu", total);
		} while (total != len + 2 + (size_t)snprintf(digits, sizeof(digits), "%zu", total));
		put(&body, digits, strlen(digits));
		put(&body, " ", 1);
		put(&body, records, len);
		put(&body, "\n", 1);
		records += len;
		records += *records == '\n';
	}
	field(h + 124, 12, body.len);
	h[156] = 'x';
	memcpy(h + 257, "ustar\00000", 8);
	tar_build_block(b, h);
	tar_build_bytes(b, body.data, body.len);
	buf_done(&body);
}

void tar_build_entry(struct buf *b, const struct tar_spec *s)
{
	uint8_t h[512] = {0};
	size_t len = s->data ? strlen(s->data) : 0;
	size_t at = b->len;

	if (s->pax) {
		pax_header(b, s->pax);
		at = b->len;
	}
	memcpy(h, s->name, strnlen(s->name, 100));
	field(h + 100, 8, s->mode ? s->mode : s->type == '5' ? 0755 : 0644);
	field(h + 108, 8, s->uid);
	field(h + 116, 8, s->gid);
	if (s->size)
		memcpy(h + 124, s->size, strnlen(s->size, 12));
	else
		field(h + 124, 12, len);
	field(h + 136, 12, (unsigned long long)s->mtime);
	h[156] = (uint8_t)(s->type ? s->type : '0');
	if (s->link)
		memcpy(h + 157, s->link, strnlen(s->link, 100));
	memcpy(h + 257, s->magic ? s->magic : "ustar\00000", 8);
	field(h + 329, 8, s->dev_major);
	field(h + 337, 8, s->dev_minor);
	tar_build_block(b, h);
	if (s->bad_checksum)
		b->data[at + 148] ^= 1;
	tar_build_bytes(b, s->data ? s->data : "", len);
}

void tar_build_end(struct buf *b)
{
	static const uint8_t zeros[1024];

	put(b, zeros, sizeof(zeros));
}
