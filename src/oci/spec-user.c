// SPDX-License-Identifier: Apache-2.0
/*
 * Users and groups by the files of the container's root (passwd(5), group(5)). The files are
 * foreign: a line that is not well formed names nobody.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "oci/spec-internal.h"

#define ID_MAX INT32_MAX /* what runc takes */

enum id_text { ID_NAME, ID_NUMBER, ID_OUT_OF_RANGE };

/* An optional sign and digits are a number, whatever its size; all else is a name. */
static enum id_text read_id(const char *s, size_t len, uint32_t *ret)
{
	bool negative = len && *s == '-';
	uint64_t value = 0;
	size_t i = len && (*s == '-' || *s == '+');

	if (i == len)
		return ID_NAME;
	for (; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return ID_NAME;
		value = MIN(value * 10 + (uint64_t)(s[i] - '0'), (uint64_t)ID_MAX + 1);
	}
	if (value > ID_MAX || (negative && value))
		return ID_OUT_OF_RANGE;
	*ret = (uint32_t)value;
	return ID_NUMBER;
}

/* A line of either file cut at its colons. */
#define FIELDS_MAX 7
struct entry {
	const char *fields[FIELDS_MAX];
	size_t lens[FIELDS_MAX], n;
};

static bool next_entry(const char **at, struct entry *ret)
{
	const char *line = *at;
	size_t left;

	if (!line || !*line)
		return false;
	left = strcspn(line, "\n");
	*at = line + left + (line[left] == '\n');
	for (ret->n = 0; ret->n < FIELDS_MAX;) {
		const char *colon = memchr(line, ':', left);
		size_t len = colon ? (size_t)(colon - line) : left;

		ret->fields[ret->n] = line;
		ret->lens[ret->n++] = len;
		if (!colon)
			break;
		line += len + 1;
		left -= len + 1;
	}
	return true;
}

static bool field_is(const struct entry *e, size_t i, const char *text)
{
	return e->lens[i] == strlen(text) && memcmp(e->fields[i], text, e->lens[i]) == 0;
}

/* Whether the fourth field of a group lists the user. */
static bool lists_member(const struct entry *e, const char *name)
{
	const char *at = e->fields[3];
	size_t left = e->lens[3], len = strlen(name);

	for (;;) {
		const char *comma = memchr(at, ',', left);
		size_t n = comma ? (size_t)(comma - at) : left;

		if (n == len && memcmp(at, name, n) == 0)
			return true;
		if (!comma)
			return false;
		at += n + 1;
		left -= n + 1;
	}
}

/* The first user of that name, or with that uid when the name is NULL. */
static struct err *find_user(const char *passwd, const char *name, uint32_t uid, uint32_t *ret_uid,
	uint32_t *ret_gid, char **ret_name)
{
	struct entry e;

	while (next_entry(&passwd, &e)) {
		uint32_t u, g;
		enum id_text kind;

		if (e.n < 4 || !e.lens[0])
			continue;
		kind = read_id(e.fields[2], e.lens[2], &u);
		if (name ? !field_is(&e, 0, name) : kind != ID_NUMBER || u != uid)
			continue;
		if (kind != ID_NUMBER || read_id(e.fields[3], e.lens[3], &g) != ID_NUMBER)
			return err_new(ERR_INVALID,
				"user \"%.*s\" in /etc/passwd: uid out of range", (int)e.lens[0],
				e.fields[0]);
		*ret_uid = u;
		*ret_gid = g;
		if (ret_name)
			*ret_name = xstrndup(e.fields[0], e.lens[0]);
		return NULL;
	}
	return err_new(ERR_NOT_FOUND, "no users found");
}

static struct err *find_group(const char *group, const char *name, uint32_t *ret_gid)
{
	struct entry e;

	while (next_entry(&group, &e)) {
		if (e.n < 3 || !field_is(&e, 0, name))
			continue;
		if (read_id(e.fields[2], e.lens[2], ret_gid) != ID_NUMBER)
			return err_new(
				ERR_INVALID, "group \"%s\" in /etc/group: gid out of range", name);
		return NULL;
	}
	return err_new(ERR_NOT_FOUND, "no groups found");
}

/* The primary group is always among the additional ones. */
static void put_groups(struct json_object *spec, const uint32_t *gids, size_t n)
{
	struct json_object *user = spec_object(spec, "process.user");
	struct json_object *array = json_object_new_array();
	int64_t gid = json_object_get_int64(json_find(user, "gid"));
	bool has_primary = false;

	for (size_t i = 0; i < n; i++)
		has_primary |= gids[i] == gid;
	if (!has_primary)
		json_object_array_add(array, json_object_new_int64(gid));
	for (size_t i = 0; i < n; i++)
		json_object_array_add(array, json_object_new_int64(gids[i]));
	json_object_object_add(user, "additionalGids", array);
}

void spec_set_uid_gid(struct json_object *spec, uint32_t uid, uint32_t gid)
{
	struct json_object *user = spec_object(spec, "process.user");

	spec_put_int(user, "uid", uid);
	spec_put_int(user, "gid", gid);
	put_groups(spec, NULL, 0);
}

static struct err *out_of_range(const char *user, const char *what)
{
	return err_new(ERR_INVALID, "invalid USER value \"%s\": %s out of range", user, what);
}

static struct err *resolve_user(const char *user, const char *part, bool has_group,
	const char *passwd, uint32_t *ret_uid, uint32_t *ret_gid)
{
	uint32_t uid;
	enum id_text kind = read_id(part, strlen(part), &uid);
	struct err *e;

	if (kind == ID_OUT_OF_RANGE)
		return out_of_range(user, "uid");
	if (kind == ID_NAME)
		return err_wrap(
			find_user(passwd, part, 0, ret_uid, ret_gid, NULL), "user \"%s\"", part);
	*ret_uid = uid;
	*ret_gid = 0;
	if (has_group)
		return NULL;
	e = find_user(passwd, NULL, uid, ret_uid, ret_gid, NULL);
	if (!err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	return NULL;
}

static struct err *resolve_group(
	const char *user, const char *part, const char *group, uint32_t *ret_gid)
{
	switch (read_id(part, strlen(part), ret_gid)) {
	case ID_NUMBER:
		return NULL;
	case ID_OUT_OF_RANGE:
		return out_of_range(user, "gid");
	default:
		return err_wrap(find_group(group, part, ret_gid), "group \"%s\"", part);
	}
}

struct err *spec_set_user(
	struct json_object *spec, const char *user, const char *passwd, const char *group)
{
	const char *colon = strchr(user, ':');
	autofree char *name = xstrndup(user, strcspn(user, ":"));
	uint32_t uid, gid;

	if (colon && strchr(colon + 1, ':'))
		return err_new(ERR_INVALID, "invalid USER value %s", user);
	TRY(resolve_user(user, name, colon != NULL, passwd, &uid, &gid));
	if (colon)
		TRY(resolve_group(user, colon + 1, group, &gid));
	spec_set_uid_gid(spec, uid, gid);
	return NULL;
}

bool spec_user_needs_files(const char *user)
{
	const char *colon = strchr(user, ':');
	uint32_t id;

	if (read_id(user, strcspn(user, ":"), &id) == ID_NAME)
		return true;
	return colon && read_id(colon + 1, strlen(colon + 1), &id) == ID_NAME;
}

/* Take in the groups that list the user, besides the one that bears the user's name. */
static void collect_groups(const char *group, const char *name, uint32_t **gids, size_t *n)
{
	size_t cap = 0;
	struct entry e;

	while (next_entry(&group, &e)) {
		uint32_t gid;

		if (e.n < 4 || field_is(&e, 0, name) || !lists_member(&e, name))
			continue;
		if (read_id(e.fields[2], e.lens[2], &gid) != ID_NUMBER)
			continue;
		GROW(*gids, *n, cap);
		(*gids)[(*n)++] = gid;
	}
}

struct err *spec_set_groups_of(
	struct json_object *spec, const char *user, const char *passwd, const char *group)
{
	autofree uint32_t *gids = NULL;
	autofree char *name = NULL;
	size_t n = 0;
	uint32_t uid, gid;

	switch (read_id(user, strlen(user), &uid)) {
	case ID_OUT_OF_RANGE:
		return out_of_range(user, "uid");
	case ID_NUMBER:
		err_free(find_user(passwd, NULL, uid, &uid, &gid, &name));
		break;
	default:
		name = strchr(user, ':') ? NULL : xstrdup(user);
	}
	if (name && *name)
		collect_groups(group, name, &gids, &n);
	put_groups(spec, gids, n);
	return NULL;
}
