// SPDX-License-Identifier: Apache-2.0
#include "sys/mount-internal.h"

#include <string.h>

#include "base/alloc.h"

struct flag_option {
	const char *name;
	bool clears;
	unsigned long flag;
};

static const struct flag_option flag_options[] = {
	{"async", true, MS_SYNCHRONOUS},
	{"atime", true, MS_NOATIME},
	{"bind", false, MS_BIND},
	{"dev", true, MS_NODEV},
	{"diratime", true, MS_NODIRATIME},
	{"dirsync", false, MS_DIRSYNC},
	{"exec", true, MS_NOEXEC},
	{"mand", false, MS_MANDLOCK},
	{"noatime", false, MS_NOATIME},
	{"nodev", false, MS_NODEV},
	{"nodiratime", false, MS_NODIRATIME},
	{"noexec", false, MS_NOEXEC},
	{"nomand", true, MS_MANDLOCK},
	{"norelatime", true, MS_RELATIME},
	{"nostrictatime", true, MS_STRICTATIME},
	{"nosuid", false, MS_NOSUID},
	{"rbind", false, MS_BIND | MS_REC},
	{"relatime", false, MS_RELATIME},
	{"remount", false, MS_REMOUNT},
	{"ro", false, MS_RDONLY},
	{"rro", false, MS_RDONLY},
	{"rw", true, MS_RDONLY},
	{"strictatime", false, MS_STRICTATIME},
	{"suid", true, MS_NOSUID},
	{"sync", false, MS_SYNCHRONOUS},
};

static const struct flag_option propagation_options[] = {
	{"private", false, MS_PRIVATE},
	{"rprivate", false, MS_PRIVATE | MS_REC},
	{"rshared", false, MS_SHARED | MS_REC},
	{"rslave", false, MS_SLAVE | MS_REC},
	{"runbindable", false, MS_UNBINDABLE | MS_REC},
	{"shared", false, MS_SHARED},
	{"slave", false, MS_SLAVE},
	{"unbindable", false, MS_UNBINDABLE},
};

static const struct flag_option *find_option(
	const struct flag_option *table, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	}
	return NULL;
}

void mount_plan_done(struct mount_plan *p)
{
	strv_done(&p->data);
	free(p->uidmap);
	free(p->gidmap);
	*p = (struct mount_plan){0};
}

/* A later one replaces an earlier one. */
static void set_text(char **text, const char *value)
{
	free(*text);
	*text = xstrdup(value);
}

/* Options for whoever makes the mount; the rest goes to the file system. */
static struct err *parse_special(struct mount_plan *p, const char *option)
{
	if (str_starts(option, "X-containerd."))
		return err_new(ERR_INVALID,
			"internal mount option \"%s\" was not consumed by the mount manager",
			option);
	if (strcmp(option, "loop") == 0)
		p->has_loop = true;
	else if (str_starts(option, "uidmap="))
		set_text(&p->uidmap, option + strlen("uidmap="));
	else if (str_starts(option, "gidmap="))
		set_text(&p->gidmap, option + strlen("gidmap="));
	else if (strcmp(option, "defaults") != 0)
		strv_add(&p->data, option);
	return NULL;
}

/* With a loop device this is its own and not the file system's. */
static void take_direct_io(struct mount_plan *p)
{
	for (size_t i = p->data.n; p->has_loop && i-- > 0;) {
		if (strcmp(p->data.items[i], "direct-io") != 0)
			continue;
		strv_remove_at(&p->data, i);
		p->has_direct_io = true;
	}
}

static struct err *parse_one(struct mount_plan *p, const char *option)
{
	const struct flag_option *f = find_option(flag_options, ARRAY_LEN(flag_options), option);

	if (f) {
		p->flags = f->clears ? p->flags & ~f->flag : p->flags | f->flag;
		p->clears_atime |= strstr(option, "atime") && !strstr(option, "diratime");
		p->is_recursive_ro |= strcmp(option, "rro") == 0;
		return NULL;
	}
	f = find_option(propagation_options, ARRAY_LEN(propagation_options), option);
	if (f) {
		p->propagation = f->flag;
		return NULL;
	}
	return parse_special(p, option);
}

/* A mapping goes on over commas: "uidmap=0:1000:1,1:2000:10". */
static const char *end_of_mapping(const char *at)
{
	return at + strspn(at, "0123456789:,");
}

/* An element may carry several options joined by commas; overlay's paths escape theirs, and quoted
 * values (SELinux contexts) keep them. */
static struct err *parse_element(struct mount_plan *p, const char *element)
{
	const char *start = element;
	bool quoted = false;

	for (const char *at = element;; at++) {
		if (at == start && (str_starts(at, "uidmap=") || str_starts(at, "gidmap=")))
			at = end_of_mapping(at + strlen("uidmap="));
		if (*at == '\\' && at[1]) {
			at++;
			continue;
		}
		if (*at == '"')
			quoted = !quoted;
		if (*at && (*at != ',' || quoted))
			continue;
		if (at > start) {
			autofree char *option = xstrndup(start, (size_t)(at - start));

			TRY(parse_one(p, option));
		}
		if (!*at)
			return NULL;
		start = at + 1;
	}
}

struct err *mount_plan_parse(const struct mount *m, struct mount_plan *ret)
{
	autoval(mount_plan) p = {0};

	for (size_t i = 0; i < m->options.n; i++)
		TRY(parse_element(&p, m->options.items[i]));
	take_direct_io(&p);
	if (str_eq(m->type, "bind"))
		p.flags |= MS_BIND;
	if (str_eq(m->type, "rbind"))
		p.flags |= MS_BIND | MS_REC;
	*ret = p;
	p = (struct mount_plan){0};
	return NULL;
}

void mount_split_lowerdirs(const char *value, struct strv *ret, struct strv *ret_data)
{
	autofree char *dir = xmalloc(strlen(value) + 1);
	struct strv *to = ret;
	size_t len = 0;

	for (const char *at = value;; at++) {
		if (*at == '\\' && at[1]) {
			dir[len++] = *++at;
			continue;
		}
		if (*at && *at != ':') {
			dir[len++] = *at;
			continue;
		}
		if (len)
			strv_add_take(to, xstrndup(dir, len));
		else if (*at)
			to = ret_data;
		len = 0;
		if (!*at)
			return;
	}
}
