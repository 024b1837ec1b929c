// SPDX-License-Identifier: Apache-2.0
#include "base/identifier.h"

#include <ctype.h>
#include <string.h>

#define IDENTIFIER_MAX 76
#define LABEL_MAX 4096

static bool well_formed(const char *s)
{
	bool after_letter = false;

	for (; *s; s++) {
		if (isalnum((unsigned char)*s) && (unsigned char)*s < 0x80)
			after_letter = true;
		else if (after_letter && strchr("._-", *s))
			after_letter = false;
		else
			return false;
	}
	return after_letter;
}

struct err *identifier_check(const char *name)
{
	if (!name || !*name)
		return err_new(ERR_INVALID, "identifier must not be empty: invalid argument");
	if (strlen(name) > IDENTIFIER_MAX)
		return err_new(ERR_INVALID,
			"identifier \"%.200s\" greater than maximum length (%d characters): "
			"invalid "
			"argument",
			name, IDENTIFIER_MAX);
	if (!well_formed(name))
		return err_new(ERR_INVALID,
			"identifier \"%s\" must match "
			"^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$: invalid argument",
			name);
	return NULL;
}

struct err *label_check(const char *key, const char *value)
{
	size_t total = strlen(key) + strlen(value);

	if (total <= LABEL_MAX)
		return NULL;
	return err_new(ERR_INVALID,
		"label key and value length (%zu bytes) greater than maximum size (%d bytes), key: "
		"%.64s: invalid argument",
		total, LABEL_MAX, key);
}

struct err *labels_check(const struct strmap *labels)
{
	for (size_t i = 0; i < labels->n; i++)
		TRY(label_check(labels->entries[i].key, labels->entries[i].value));
	return NULL;
}
