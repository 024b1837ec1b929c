// SPDX-License-Identifier: Apache-2.0
#include "worker/view.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "worker/confine.h"

#define LOWERS_MAX 512

void view_done(struct view *v)
{
	if (v->root_fd >= 0)
		close(v->root_fd);
	if (v->lower_fd >= 0)
		close(v->lower_fd);
	if (v->upper_fd >= 0)
		close(v->upper_fd);
	for (size_t i = 0; i < v->n_lowers; i++)
		close(v->lowers[i]);
	free(v->lowers);
	*v = VIEW_INIT;
}

/* Whether mounting something on the directory would hide what the mounts are made of. */
static bool is_used(const struct mounts *m, const char *dir)
{
	size_t len = strlen(dir);

	for (size_t i = 0; i < m->n; i++) {
		if (strncmp(m->items[i].source, dir, len) == 0)
			return true;
		for (size_t k = 0; k < m->items[i].options.n; k++)
			if (strstr(m->items[i].options.items[k], dir))
				return true;
	}
	return false;
}

/* A directory that every machine has and the job does not need, with an empty file system on it.
 * The mount is in our own namespace: others go on seeing what is below. */
static struct err *make_place(const struct job *job, const char **ret)
{
	static const char *const dirs[] = {"/sys", "/mnt", "/media", "/srv", "/opt", "/home"};

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		struct stat st;

		if (stat(dirs[i], &st) < 0 || !S_ISDIR(st.st_mode) ||
			is_used(&job->mounts, dirs[i]) || is_used(&job->lower, dirs[i]) ||
			is_used(&job->upper, dirs[i]))
			continue;
		if (mount("worker", dirs[i], "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
			    "size=1m,mode=700") < 0)
			return err_sys(errno, "mount a place to work at %s", dirs[i]);
		*ret = dirs[i];
		return NULL;
	}
	return err_new(
		ERR_PRECONDITION, "no directory to mount at: /sys and /mnt are missing or in use");
}

static struct err *make_dir_in(const char *place, const char *name, char **ret)
{
	autofree char *dir = path_join(place, name);

	if (mkdir(dir, 0700) < 0)
		return err_sys(errno, "create directory %s", dir);
	*ret = TAKE(dir);
	return NULL;
}

/* The value of the last option of that name, or NULL. */
static const char *find_option(const struct mount *m, const char *name)
{
	const char *found = NULL;
	size_t len = strlen(name);

	for (size_t i = 0; i < m->options.n; i++)
		if (strncmp(m->options.items[i], name, len) == 0 && m->options.items[i][len] == '=')
			found = m->options.items[i] + len + 1;
	return found;
}

/* An overlay must not be mounted a second time as volatile. */
static bool is_volatile(const char *option)
{
	return str_eq(option, "volatile") || str_eq(option, "fsync=volatile");
}

/* The same mount for a short look: nothing can be written, and the upper directory may be in use by
 * the overlay that a container runs on. */
static void make_readonly(struct mount *m)
{
	bool is_overlay = str_eq(m->type, "overlay");
	autofree char *upper = xstrdup(is_overlay ? find_option(m, "upperdir") : NULL);
	struct strv kept = STRV_INIT;

	for (size_t i = 0; i < m->options.n; i++) {
		const char *o = m->options.items[i];

		if (!is_overlay) {
			if (!str_eq(o, "rw") && !str_eq(o, "ro"))
				strv_add(&kept, o);
		} else if (upper && str_starts(o, "lowerdir=")) {
			strv_addf(&kept, "lowerdir=%s:%s", upper, o + strlen("lowerdir="));
		} else if (!str_starts(o, "upperdir=") && !str_starts(o, "workdir=") &&
			   !str_starts(o, "uidmap=") && !str_starts(o, "gidmap=") &&
			   !is_volatile(o)) {
			strv_add(&kept, o);
		}
	}
	if (!is_overlay)
		strv_add(&kept, "ro");
	strv_done(&m->options);
	m->options = kept;
}

static void drop_volatile(struct mount *m)
{
	for (size_t i = m->options.n; str_eq(m->type, "overlay") && i-- > 0;)
		if (is_volatile(m->options.items[i]))
			strv_remove_at(&m->options, i);
}

static struct err *attach(const struct mounts *mounts, bool readonly, const char *dir)
{
	autoval(mounts) copy = MOUNTS_INIT;

	mounts_copy(&copy, mounts);
	for (size_t i = 0; i < copy.n; i++) {
		if (readonly)
			make_readonly(&copy.items[i]);
		else
			drop_volatile(&copy.items[i]);
	}
	return mounts_attach(&copy, dir);
}

static struct err *open_dir(const char *path, int flags, int *ret)
{
	*ret = open(path, flags | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? err_sys(errno, "open %s", path) : NULL;
}

/* The layers below, topmost first; attributes of parents come from there. */
static struct err *open_lowers(const char *value, struct view *v)
{
	autoval(strv) dirs = STRV_INIT;

	strv_split(&dirs, str_or(value, ""), ':');
	if (dirs.n > LOWERS_MAX)
		return err_new(ERR_INVALID, "more than %d lower directories", LOWERS_MAX);
	v->lowers = xcalloc(dirs.n + 1, sizeof(*v->lowers));
	for (size_t i = 0; i < dirs.n; i++) {
		if (str_empty(dirs.items[i]))
			continue;
		TRY(open_dir(dirs.items[i], O_PATH, &v->lowers[v->n_lowers]));
		v->n_lowers++;
	}
	return NULL;
}

static bool has_option(const struct mount *m, const char *option)
{
	return strv_has(&m->options, option);
}

/* The upper directory itself: the kernel would do the same through the overlay, only slower. */
static struct err *attach_upper(
	const struct mount *m, const char *upper, const char *dir, struct view *v)
{
	TRY(open_lowers(find_option(m, "lowerdir"), v));
	if (mount(upper, dir, NULL, MS_BIND, NULL) < 0)
		return err_sys(errno, "bind mount %s", upper);
	v->opaque_xattr =
		has_option(m, "userxattr") ? "user.overlay.opaque" : "trusted.overlay.opaque";
	return NULL;
}

/* Whiteouts cannot be made by hand in a user namespace; there the kernel has to. */
static const char *direct_upper(const struct mounts *m)
{
	if (m->n != 1 || !str_eq(m->items[0].type, "overlay") || !str_empty(m->items[0].target) ||
		confine_is_user_namespace())
		return NULL;
	return find_option(&m->items[0], "upperdir");
}

struct err *view_for_apply(const struct job *job, struct view *ret)
{
	const char *upper = direct_upper(&job->mounts);
	autofree char *dir = NULL;
	const char *place;

	if (job->mounts.n == 0)
		return err_new(ERR_INVALID, "no mounts to apply the layer to");
	TRY(make_place(job, &place));
	TRY(make_dir_in(place, "root", &dir));
	if (upper)
		TRY(attach_upper(&job->mounts.items[0], upper, dir, ret));
	else
		TRY(attach(&job->mounts, false, dir));
	TRY(confine_root(dir));
	return open_dir("/", O_RDONLY, &ret->root_fd);
}

struct err *view_for_diff(const struct job *job, struct view *ret)
{
	autofree char *lower = NULL, *upper = NULL;
	const char *place;

	TRY(make_place(job, &place));
	TRY(make_dir_in(place, "lower", &lower));
	TRY(make_dir_in(place, "upper", &upper));
	TRY(attach(&job->lower, true, lower));
	TRY(attach(&job->upper, true, upper));
	TRY(confine_root(place));
	TRY(open_dir("/lower", O_RDONLY, &ret->lower_fd));
	return open_dir("/upper", O_RDONLY, &ret->upper_fd);
}

struct err *view_for_archive(const struct job *job)
{
	const char *place;

	TRY(make_place(job, &place));
	return confine_root(place);
}
