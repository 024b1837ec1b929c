// SPDX-License-Identifier: Apache-2.0
#include "archive/apply.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/tree.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/map.h"
#include "base/strv.h"

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
#define TIME_MAX_SEC 9223372036 /* Go's largest time.Unix(0, ns) */
#define WRITE_BACK_BYTES (256 * 1024)

/* Hashes of (directory, name), open addressing; 0 is a free slot. */
struct seen {
	uint64_t *slots;
	size_t n, cap;
};

struct applier {
	const struct apply_options *o;
	struct tar_reader *reader;
	struct tree *tree;
	uid_t uid; /* what new files belong to */
	gid_t gid;
	struct seen seen; /* what this layer has put down */
	int64_t n_entries, n_devices, bytes;
	char path[TAR_PATH_MAX], link[TAR_PATH_MAX];
};

/* An entry on its way to the disk. */
struct target {
	const struct tar_entry *entry;
	struct tree_dir *dir;
	const char *base;
	int fd;	   /* of the file itself, or -1 */
	bool made; /* it is new, with the mode asked for unless the directory hands down its own */
	struct tree_dir linked; /* where a hard link is made, while another parent is looked up */
};

static uint64_t seen_key(dev_t dev, ino_t ino, const char *name)
{
	uint64_t k = hash_bytes(name, strlen(name)) ^ (uint64_t)ino * 0x9e3779b97f4a7c15 ^
		     (uint64_t)dev * 0xc2b2ae3d27d4eb4f;

	k ^= k >> 29;
	return k ? k : 1;
}

static void seen_put(struct seen *s, uint64_t key)
{
	size_t i = key & (s->cap - 1);

	while (s->slots[i] && s->slots[i] != key)
		i = (i + 1) & (s->cap - 1);
	s->n += !s->slots[i];
	s->slots[i] = key;
}

static void seen_add(struct seen *s, uint64_t key)
{
	if (2 * s->n >= s->cap) {
		struct seen bigger = {.cap = s->cap ? s->cap * 2 : 1024};

		bigger.slots = xcalloc(bigger.cap, sizeof(*bigger.slots));
		for (size_t i = 0; i < s->cap; i++)
			if (s->slots[i])
				seen_put(&bigger, s->slots[i]);
		free(s->slots);
		*s = bigger;
	}
	seen_put(s, key);
}

static bool seen_has(const struct seen *s, dev_t dev, ino_t ino, const char *name)
{
	uint64_t key = seen_key(dev, ino, name);

	for (size_t i = key; s->cap && s->slots[i & (s->cap - 1)]; i++)
		if (s->slots[i & (s->cap - 1)] == key)
			return true;
	return false;
}

static struct err *set_opaque(const struct applier *a, int fd)
{
	if (fsetxattr(fd, a->o->opaque_xattr, "y", 1, 0) < 0)
		return err_sys(errno, "set %s", a->o->opaque_xattr);
	return NULL;
}

static struct err *set_opaque_at(const struct applier *a, int dir_fd, const char *name)
{
	autofd fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? err_sys(errno, "open %s", name) : set_opaque(a, fd);
}

/* Removes what was in the directory before this layer. */
static struct err *clear_opaque(struct applier *a, int take_fd)
{
	DIR *dir = fdopendir(take_fd);
	struct err *e = NULL;
	struct dirent *d;
	struct stat st;

	if (!dir) {
		close(take_fd);
		return err_sys(errno, "open directory");
	}
	if (fstat(dirfd(dir), &st) < 0)
		e = err_sys(errno, "stat directory");
	while (!e && (d = readdir(dir))) {
		int fd;

		if (str_eq(d->d_name, ".") || str_eq(d->d_name, ".."))
			continue;
		if (!seen_has(&a->seen, st.st_dev, st.st_ino, d->d_name)) {
			e = remove_tree_at(dirfd(dir), d->d_name);
			continue;
		}
		fd = openat(dirfd(dir), d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0)
			e = clear_opaque(a, fd);
		else if (errno != ENOTDIR && errno != ELOOP && errno != ENOENT)
			e = err_sys(errno, "open %s", d->d_name);
	}
	closedir(dir);
	return e;
}

static struct err *opaque_marker(struct applier *a, struct tree_dir *dir)
{
	struct err *e;
	int fd;

	if (a->o->opaque_xattr)
		return set_opaque(a, dir->fd);
	fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(errno, "open directory");
	e = clear_opaque(a, fd);
	tree_forget(a->tree);
	return e;
}

static struct err *make_overlay_whiteout(
	struct applier *a, const struct target *t, const char *name)
{
	struct tree_dir dir = *t->dir;
	struct stat st;

	if (mknodat(dir.fd, name, S_IFCHR, makedev(0, 0)) < 0) {
		if (errno != EEXIST)
			return err_sys(errno, "make whiteout");
		if (seen_has(&a->seen, dir.dev, dir.ino, name)) {
			/* This layer has put its own there: it hides what is below anyway. */
			if (fstatat(dir.fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
				return err_sys(errno, "stat %s", name);
			return S_ISDIR(st.st_mode) ? set_opaque_at(a, dir.fd, name) : NULL;
		}
		TRY(remove_tree_at(dir.fd, name));
		if (mknodat(dir.fd, name, S_IFCHR, makedev(0, 0)) < 0)
			return err_sys(errno, "make whiteout");
	}
	if (fchownat(dir.fd, name, (uid_t)t->entry->uid, (gid_t)t->entry->gid,
		    AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(errno, "chown whiteout");
	return NULL;
}

/* *ret tells whether the entry was a marker and is done with. */
static struct err *handle_whiteout(struct applier *a, const struct target *t, bool *ret)
{
	const char *name = t->base + strlen(WHITEOUT);
	struct err *e;

	*ret = str_starts(t->base, WHITEOUT);
	if (!*ret)
		return NULL;
	if (str_eq(t->base, OPAQUE))
		return opaque_marker(a, t->dir);
	if (str_empty(name) || str_eq(name, ".") || str_eq(name, ".."))
		return err_new(ERR_INVALID, "invalid whiteout name: %s: invalid archive", t->base);
	e = a->o->opaque_xattr ? make_overlay_whiteout(a, t, name)
			       : remove_tree_at(t->dir->fd, name);
	tree_forget(a->tree);
	return e;
}

static bool is_before(struct timespec a, struct timespec b)
{
	return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

static struct timespec bounded(struct timestamp t)
{
	if (t.sec < 0 || t.sec >= TIME_MAX_SEC)
		return (struct timespec){0};
	return (struct timespec){.tv_sec = t.sec, .tv_nsec = t.nsec};
}

static void entry_times(const struct tar_entry *e, struct timespec ret[2])
{
	ret[0] = bounded(e->atime);
	ret[1] = bounded(e->mtime);
	if (is_before(ret[0], ret[1]))
		ret[0] = ret[1];
}

static bool has_acl(const struct tar_entry *e)
{
	for (size_t i = 0; i < e->n_xattrs; i++)
		if (str_starts(e->xattrs[i].name, "system."))
			return true;
	return false;
}

static struct err *set_owner(const struct applier *a, const struct target *t)
{
	uid_t uid = (uid_t)t->entry->uid;
	gid_t gid = (gid_t)t->entry->gid;
	int r;

	if (t->made && !t->dir->inherits && uid == a->uid && gid == a->gid)
		return NULL;
	r = t->fd >= 0 ? fchown(t->fd, uid, gid)
		       : fchownat(t->dir->fd, t->base, uid, gid, AT_SYMLINK_NOFOLLOW);
	if (r < 0 && errno == EINVAL && a->o->skip_devices)
		return err_sys(errno,
			"chown to %u:%u (hint: more subordinate ids in /etc/subuid and "
			"/etc/subgid)",
			uid, gid);
	return r < 0 ? err_sys(errno, "chown to %u:%u", uid, gid) : NULL;
}

static int set_xattr(const struct target *t, const struct tar_xattr *x)
{
	int r;

	if (t->fd >= 0)
		r = fsetxattr(t->fd, x->name, x->value, x->len, 0);
	else if (fchdir(t->dir->fd) < 0)
		return -errno;
	else
		r = lsetxattr(t->base, x->name, x->value, x->len, 0);
	return r < 0 ? -errno : 0;
}

/* Those an archive may not set, and those the file system cannot keep, are left out. */
static struct err *set_xattrs(const struct applier *a, const struct target *t)
{
	const struct tar_entry *e = t->entry;

	for (size_t i = 0; i < e->n_xattrs; i++) {
		const struct tar_xattr *x = &e->xattrs[i];
		autofree char *name = NULL;
		int r;

		if (str_starts(x->name, "trusted.") ||
			(a->o->opaque_xattr && str_starts(x->name, "user.overlay.")))
			continue;
		r = set_xattr(t, x);
		if (r == 0 || r == -ENOTSUP)
			continue;
		if (r == -EPERM && str_starts(x->name, "user.") && e->type != TAR_FILE &&
			e->type != TAR_DIR)
			continue;
		name = tar_printable(x->name);
		return err_sys(-r, "set xattr %s", name);
	}
	return NULL;
}

static struct err *set_mode(const struct target *t)
{
	mode_t mode = (mode_t)t->entry->mode & 07777;
	mode_t kept = t->entry->type == TAR_DIR ? 01777 : 0777;
	int r;

	if (t->entry->type == TAR_SYMLINK)
		return NULL;
	if (t->made && !t->dir->inherits && !(mode & ~kept) && !has_acl(t->entry))
		return NULL;
	r = t->fd >= 0 ? fchmod(t->fd, mode) : fchmodat(t->dir->fd, t->base, mode, 0);
	return r < 0 ? err_sys(errno, "chmod to %04o", mode) : NULL;
}

static struct err *set_times(struct applier *a, const struct target *t)
{
	struct timespec times[2];
	int r;

	entry_times(t->entry, times);
	if (t->entry->type == TAR_DIR)
		return tree_note_times(a->tree, a->path, times);
	r = t->fd >= 0 ? futimens(t->fd, times)
		       : utimensat(t->dir->fd, t->base, times, AT_SYMLINK_NOFOLLOW);
	return r < 0 ? err_sys(errno, "set times") : NULL;
}

/* The order matters: a change of owner takes set-id bits and capabilities away. */
static struct err *set_attributes(struct applier *a, const struct target *t)
{
	TRY(set_owner(a, t));
	TRY(set_xattrs(a, t));
	TRY(set_mode(t));
	return set_times(a, t);
}

static struct err *remove_existing(struct applier *a, struct target *t)
{
	struct stat st;
	int dir_fd = t->dir->fd;

	if (fstatat(dir_fd, t->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? NULL : err_sys(errno, "stat");
	TRY(remove_tree_at(dir_fd, t->base));
	if (!S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode))
		return NULL;
	/* The path may lead elsewhere without it; the directory is still the same. */
	t->dir = tree_forget(a->tree);
	return NULL;
}

static struct err *write_data(struct applier *a, int fd, const struct tar_entry *e)
{
	int64_t end = 0, offset;
	const uint8_t *data;
	size_t len;

	for (;;) {
		int r;

		TRY(tar_reader_data(a->reader, &data, &len, &offset));
		if (len == 0)
			break;
		if (offset != end && lseek(fd, offset, SEEK_SET) < 0)
			return err_sys(errno, "seek");
		r = write_full(fd, data, len);
		if (r < 0)
			return err_sys(-r, "write");
		end = offset + (int64_t)len;
	}
	if (end < e->size && ftruncate(fd, e->size) < 0)
		return err_sys(errno, "make it %" PRId64 " bytes long", e->size);
	/* Only a hint, its failure means nothing. */
	if (a->o->sync && end >= WRITE_BACK_BYTES)
		(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return NULL;
}

static struct err *make_file(struct applier *a, struct target *t)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	mode_t mode = (mode_t)t->entry->mode & 0777;
	autofd fd = openat(t->dir->fd, t->base, flags, mode);

	if (fd < 0 && errno == EEXIST) {
		TRY(remove_existing(a, t));
		fd = openat(t->dir->fd, t->base, flags, mode);
	}
	if (fd < 0)
		return err_sys(errno, "create file");
	t->fd = fd;
	t->made = true;
	TRY(write_data(a, fd, t->entry));
	return set_attributes(a, t);
}

static struct err *open_dir(struct target *t)
{
	t->fd = openat(t->dir->fd, t->base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return t->fd < 0 ? err_sys(errno, "open directory") : NULL;
}

static struct err *make_dir(struct applier *a, struct target *t)
{
	mode_t mode = (mode_t)t->entry->mode & 01777;
	bool hides = false;
	struct err *e;
	struct stat st;

	t->made = mkdirat(t->dir->fd, t->base, mode) == 0;
	if (!t->made && errno != EEXIST)
		return err_sys(errno, "create directory");
	if (!t->made) {
		if (fstatat(t->dir->fd, t->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(errno, "stat");
		if (!S_ISDIR(st.st_mode)) {
			/* In place of a whiteout it must not let what is below shine through. */
			hides = a->o->opaque_xattr && S_ISCHR(st.st_mode) && st.st_rdev == 0;
			TRY(remove_existing(a, t));
			if (mkdirat(t->dir->fd, t->base, mode) < 0)
				return err_sys(errno, "create directory");
			t->made = true;
		}
	}
	if (hides)
		TRY(set_opaque_at(a, t->dir->fd, t->base));
	if (t->entry->n_xattrs)
		TRY(open_dir(t));
	e = set_attributes(a, t);
	if (t->fd >= 0)
		close(t->fd);
	return e;
}

static struct err *make_symlink(struct applier *a, struct target *t)
{
	int r = symlinkat(t->entry->link, t->dir->fd, t->base);

	if (r < 0 && errno == EEXIST) {
		TRY(remove_existing(a, t));
		r = symlinkat(t->entry->link, t->dir->fd, t->base);
	}
	if (r < 0)
		return err_sys(errno, "create symlink");
	t->made = true;
	return set_attributes(a, t);
}

static bool is_device(enum tar_type type)
{
	return type == TAR_CHAR_DEVICE || type == TAR_BLOCK_DEVICE;
}

static struct err *make_node(struct applier *a, struct target *t)
{
	const struct tar_entry *e = t->entry;
	mode_t mode = (mode_t)e->mode & 0777;
	dev_t dev = 0;

	if (is_device(e->type)) {
		if (e->dev_major < 0 || e->dev_major > UINT32_MAX || e->dev_minor < 0 ||
			e->dev_minor > UINT32_MAX)
			return err_new(ERR_INVALID,
				"device number %" PRId64 ":%" PRId64
				" out of range: invalid archive",
				e->dev_major, e->dev_minor);
		if (++a->n_devices > APPLY_DEVICES_MAX)
			return err_new(ERR_INVALID, "more than %d device nodes in the layer",
				APPLY_DEVICES_MAX);
		dev = makedev((unsigned)e->dev_major, (unsigned)e->dev_minor);
	}
	mode |= e->type == TAR_CHAR_DEVICE    ? S_IFCHR
		: e->type == TAR_BLOCK_DEVICE ? S_IFBLK
					      : S_IFIFO;
	TRY(remove_existing(a, t));
	if (mknodat(t->dir->fd, t->base, mode, dev) < 0)
		return err_sys(errno, "create %s", is_device(e->type) ? "device node" : "fifo");
	t->made = true;
	return set_attributes(a, t);
}

/* The other name has what the header says, or gets it: they share it. */
static struct err *link_attributes(struct applier *a, struct target *t)
{
	const struct tar_entry *e = t->entry;
	struct timespec times[2];
	struct stat st;

	if (fstatat(t->dir->fd, t->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(errno, "stat");
	entry_times(e, times);
	if (e->n_xattrs == 0 && st.st_uid == (uid_t)e->uid && st.st_gid == (gid_t)e->gid &&
		(S_ISLNK(st.st_mode) || (st.st_mode & 07777) == ((mode_t)e->mode & 07777)) &&
		!is_before(st.st_mtim, times[1]) && !is_before(times[1], st.st_mtim))
		return NULL;
	TRY(set_owner(a, t));
	TRY(set_xattrs(a, t));
	if (!S_ISLNK(st.st_mode))
		TRY(set_mode(t));
	return set_times(a, t);
}

static struct err *link_to(struct applier *a, struct target *t)
{
	struct tree_dir *from;
	const char *base;

	TRY(tree_clean(t->entry->link, a->link));
	TRY(tree_parent(a->tree, a->link, false, &from, &base));
	if (linkat(from->fd, *base ? base : ".", t->dir->fd, t->base, 0) < 0)
		return err_sys(errno, "link");
	return NULL;
}

static struct err *make_hardlink(struct applier *a, struct target *t)
{
	autofree char *shown = tar_printable(t->entry->link);
	autofd fd = -1;

	TRY(remove_existing(a, t));
	/* Looking up the other parent may close this one. */
	fd = fcntl(t->dir->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(errno, "keep the directory open");
	t->linked = *t->dir;
	t->linked.fd = fd;
	t->dir = &t->linked;
	TRY(err_wrap(link_to(a, t), "link to \"%s\"", shown));
	return link_attributes(a, t);
}

static struct err *make_entry(struct applier *a, struct target *t)
{
	switch (t->entry->type) {
	case TAR_FILE:
		return make_file(a, t);
	case TAR_DIR:
		return make_dir(a, t);
	case TAR_SYMLINK:
		return make_symlink(a, t);
	case TAR_HARDLINK:
		return make_hardlink(a, t);
	default:
		return make_node(a, t);
	}
}

static struct err *check_bounds(struct applier *a, const struct tar_entry *e)
{
	if (++a->n_entries > a->o->max_entries)
		return err_new(ERR_INVALID, "more than %" PRId64 " entries in the layer",
			a->o->max_entries);
	if (e->size > a->o->max_bytes - a->bytes)
		return err_new(ERR_INVALID, "more than %" PRId64 " bytes in the layer's files",
			a->o->max_bytes);
	a->bytes += e->size;
	/* The largest number means "leave it alone" to chown(2). */
	if (e->uid < 0 || e->uid >= UINT32_MAX || e->gid < 0 || e->gid >= UINT32_MAX)
		return err_new(
			ERR_INVALID, "owner %" PRId64 ":%" PRId64 " out of range", e->uid, e->gid);
	return NULL;
}

static struct err *apply_entry(struct applier *a, const struct tar_entry *e)
{
	struct target t = {.entry = e, .fd = -1};
	bool done;

	TRY(check_bounds(a, e));
	TRY(tree_clean(e->name, a->path));
	if (!*a->path || (a->o->skip_devices && is_device(e->type)))
		return NULL;
	TRY(tree_parent(a->tree, a->path, true, &t.dir, &t.base));
	TRY(handle_whiteout(a, &t, &done));
	if (done)
		return NULL;
	TRY(make_entry(a, &t));
	seen_add(&a->seen, seen_key(t.dir->dev, t.dir->ino, t.base));
	return NULL;
}

/* Failures that the names and numbers in the archive bring about are the archive's fault. */
static struct err *blame(struct err *take_e, const struct tar_entry *entry)
{
	autofree char *name = tar_printable(entry->name);

	switch (err_errno(take_e)) {
	case ENOENT:
	case EEXIST:
	case ENOTDIR:
	case EISDIR:
	case ELOOP:
	case ENAMETOOLONG:
	case EINVAL:
	case EXDEV:
	case EMLINK:
	case E2BIG:
	case EFBIG:
	case ERANGE:
		take_e = err_reclass(take_e, ERR_INVALID);
		break;
	default:
		break;
	}
	return err_wrap(take_e, "entry \"%s\"", name);
}

static struct err *apply_all(struct applier *a)
{
	for (;;) {
		const struct tar_entry *entry;
		struct err *e;

		TRY(tar_reader_next(a->reader, &entry));
		if (!entry)
			return tree_set_times(a->tree);
		e = apply_entry(a, entry);
		if (e)
			return blame(e, entry);
	}
}

struct err *apply_archive(struct tar_reader *r, const struct apply_options *options)
{
	autoptr(tree) tree = tree_new(options->root_fd, options->lowers, options->n_lowers);
	struct applier a = {
		.o = options, .reader = r, .tree = tree, .uid = geteuid(), .gid = getegid()};
	struct err *e;

	umask(0);
	e = apply_all(&a);
	free(a.seen.slots);
	return e;
}
