// SPDX-License-Identifier: Apache-2.0
/*
 * Overlays that need other mounts to be made. The kernel has to see those in the mount namespace, so
 * they are stacked on the target itself, below the overlay, and taken away once it is there: it
 * holds copies of its own. Nothing else has to be made or cleaned up, whatever happens meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "sys/mount-internal.h"

#define LOWERS_MAX 500 /* of one overlay (OVL_MAX_STACK) */
#define FSTYPE "overlay"

struct stack {
	const struct mount_target *target;
	unsigned n;    /* helpers mounted there */
	int ids_fd;    /* all lower directories, with ids mapped; -1 without */
	int bottom_fd; /* an overlay of those that are too many; -1 without */
};

/* --- the options --- */

static const char *value_of(const char *option, const char *key)
{
	size_t len = strlen(key);

	return strncmp(option, key, len) == 0 && option[len] == '=' ? option + len + 1 : NULL;
}

static struct err *read_lowers(const struct mount_plan *p, struct strv *ret)
{
	autoval(strv) data = STRV_INIT;

	for (size_t i = 0; i < p->data.n; i++) {
		const char *value = value_of(p->data.items[i], "lowerdir");

		if (value)
			mount_split_lowerdirs(value, ret, &data);
	}
	if (data.n)
		return err_new(ERR_INVALID,
			"mount overlay: data-only directories beside mapped ids or more than %d "
			"lower directories",
			LOWERS_MAX);
	return ret->n ? NULL : err_new(ERR_INVALID, "mount overlay: no lowerdir to map the ids of");
}

/* A path as lowerdir= has it. */
static char *escaped(const char *path)
{
	char *text = xmalloc(2 * strlen(path) + 1), *to = text;

	for (; *path; path++) {
		if (strchr(":,\\", *path))
			*to++ = '\\';
		*to++ = *path;
	}
	*to = '\0';
	return text;
}

static void add_lowers(struct strv *data, const struct strv *dirs, size_t from, size_t to)
{
	autoval(strv) texts = STRV_INIT;
	autofree char *joined = NULL;

	for (size_t i = from; i < to; i++)
		strv_add_take(&texts, escaped(dirs->items[i]));
	joined = strv_join(&texts, ":");
	strv_addf(data, "lowerdir=%s", joined);
}

/* Everything but the lower directories; for a mount that is only read also without what is written
 * to. */
static void copy_options(struct strv *to, const struct strv *from, bool is_readonly)
{
	for (size_t i = 0; i < from->n; i++) {
		const char *o = from->items[i];

		if (value_of(o, "lowerdir"))
			continue;
		if (is_readonly && (value_of(o, "upperdir") || value_of(o, "workdir") ||
					   value_of(o, "fsync") || strcmp(o, "volatile") == 0))
			continue;
		strv_add(to, o);
	}
}

/* --- mapped ids --- */

/* The longest directory that all of them are in. */
static char *common_dir(const struct strv *dirs)
{
	const char *first = dirs->items[0];
	size_t len = strlen(first);

	for (size_t i = 1; i < dirs->n; i++) {
		size_t same = 0;

		while (same < len && first[same] == dirs->items[i][same])
			same++;
		len = same;
	}
	while (len && first[len - 1] != '/')
		len--;
	return xstrndup(first, len ? len - 1 : 0);
}

static struct err *clone_mapped(const char *dir, int userns_fd, int *ret)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY,
		.propagation = MS_PRIVATE,
		.userns_fd = (uint64_t)userns_fd,
	};
	const unsigned flags = AT_EMPTY_PATH | AT_RECURSIVE;
	autofd tree = open_tree(
		AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (unsigned)AT_RECURSIVE);

	if (tree < 0)
		return err_sys(errno, "failed to create idmapped mount: %s", dir);
	if (mount_setattr(tree, "", flags, &attr, sizeof(attr)) < 0)
		return err_sys(errno, "failed to create idmapped mount: %s: map its ids", dir);
	*ret = TAKE_FD(tree);
	return NULL;
}

static struct err *put_on_target(int tree, const struct mount_target *target)
{
	autofd fd = -1;

	TRY(mount_target_open(target, &fd));
	if (move_mount(tree, "", fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_sys(errno, "mount overlay: attach a mount");
	return NULL;
}

/* Mount what all the directories are in once more, and look at them from there. */
static struct err *map_lowers(struct stack *s, struct strv *dirs, int userns_fd)
{
	autofree char *common = common_dir(dirs);
	struct strv mapped = STRV_INIT;

	if (!*common)
		return err_new(ERR_INVALID, "invalid common directory: %s", dirs->items[0]);
	TRY(clone_mapped(common, userns_fd, &s->ids_fd));
	TRY(put_on_target(s->ids_fd, s->target));
	s->n++;
	for (size_t i = 0; i < dirs->n; i++)
		strv_addf(
			&mapped, "/proc/self/fd/%d%s", s->ids_fd, dirs->items[i] + strlen(common));
	strv_done(dirs);
	*dirs = mapped;
	return NULL;
}

/* --- too many --- */

/* The lowest directories in an overlay of their own; nothing is below them that it could hide. */
static struct err *join_lowest(struct stack *s, const struct mount_plan *p, struct strv *dirs)
{
	struct mount m = {.type = (char *)FSTYPE, .source = (char *)FSTYPE};
	autoval(mount_plan) plan = {.flags = MS_RDONLY};

	copy_options(&plan.data, &p->data, true);
	add_lowers(&plan.data, dirs, LOWERS_MAX - 1, dirs->n);
	TRY(err_wrap(mount_make_plain(&m, &plan, s->target, -1), "%zu lower directories", dirs->n));
	s->n++;
	TRY(mount_target_open(s->target, &s->bottom_fd));
	while (dirs->n >= LOWERS_MAX)
		strv_remove_at(dirs, dirs->n - 1);
	strv_addf(dirs, "/proc/self/fd/%d", s->bottom_fd);
	return NULL;
}

/* --- all together --- */

static struct err *make_on_stack(
	struct stack *s, const struct mount *m, const struct mount_plan *p, int userns_fd)
{
	autoval(mount_plan) plan = {.flags = p->flags, .clears_atime = p->clears_atime};
	autoval(strv) dirs = STRV_INIT;

	TRY(read_lowers(p, &dirs));
	if (userns_fd >= 0)
		TRY(map_lowers(s, &dirs, userns_fd));
	if (dirs.n > LOWERS_MAX)
		TRY(join_lowest(s, p, &dirs));
	copy_options(&plan.data, &p->data, false);
	add_lowers(&plan.data, &dirs, 0, dirs.n);
	return mount_make_plain(m, &plan, s->target, -1);
}

static void take_helpers_off(struct stack *s)
{
	for (; s->n; s->n--)
		mount_target_detach(s->target);
}

/* Put the overlay, which is topmost, where the helpers are. */
static struct err *settle(struct stack *s)
{
	autofd top = -1;
	autofd tree = -1;

	TRY(mount_target_open(s->target, &top));
	tree = open_tree(top, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (unsigned)AT_EMPTY_PATH);
	if (tree < 0)
		return err_sys(errno, "mount overlay: move it");
	mount_target_detach(s->target);
	take_helpers_off(s);
	return put_on_target(tree, s->target);
}

bool mount_needs_helpers(const struct mount *m, const struct mount_plan *p, int userns_fd)
{
	autoval(strv) dirs = STRV_INIT;
	autoptr(err) e = NULL;

	if (!str_eq(m->type, FSTYPE) || (p->flags & MS_REMOUNT))
		return false;
	if (userns_fd >= 0)
		return true;
	e = read_lowers(p, &dirs);
	return dirs.n > LOWERS_MAX;
}

struct err *mount_make_with_helpers(const struct mount *m, const struct mount_plan *p,
	const struct mount_target *target, int userns_fd)
{
	struct stack s = {.target = target, .ids_fd = -1, .bottom_fd = -1};
	struct err *e = make_on_stack(&s, m, p, userns_fd);

	if (!e) {
		e = settle(&s);
		if (e && s.n)
			mount_target_detach(target);
	}
	take_helpers_off(&s);
	if (s.ids_fd >= 0)
		close(s.ids_fd);
	if (s.bottom_fd >= 0)
		close(s.bottom_fd);
	return e;
}
