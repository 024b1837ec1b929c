// SPDX-License-Identifier: Apache-2.0
#include "archive/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/tar-reader.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/strv.h"

#define CACHED_DIRS 64
#define LINKS_MAX 255
#define NOTED_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define XATTR_LIST_MAX ((size_t)64 * 1024)
#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

struct cached_dir {
	struct tree_dir dir;
	char *path; /* NULL: free */
	uint64_t hash, last_use;
};

struct noted_times {
	char *path;
	struct timespec times[2];
};

struct tree {
	int root_fd;
	const int *lowers;
	size_t n_lowers;
	struct cached_dir cache[CACHED_DIRS];
	struct cached_dir *latest;
	struct tree_dir held; /* open without a path; fd -1: none */
	uint64_t uses;
	struct noted_times *noted;
	size_t n_noted, cap_noted, noted_bytes;
};

struct tree *tree_new(int root_fd, const int *lowers, size_t n_lowers)
{
	struct tree *t = NEW(struct tree);

	t->root_fd = root_fd;
	t->lowers = lowers;
	t->n_lowers = n_lowers;
	t->held.fd = -1;
	return t;
}

static void close_held(struct tree *t)
{
	if (t->held.fd >= 0)
		close(t->held.fd);
	t->held.fd = -1;
}

struct tree_dir *tree_forget(struct tree *t)
{
	if (t->latest)
		close_held(t);
	for (size_t i = 0; i < CACHED_DIRS; i++) {
		struct cached_dir *c = &t->cache[i];

		if (!c->path)
			continue;
		if (c == t->latest)
			t->held = c->dir;
		else
			close(c->dir.fd);
		free(c->path);
		c->path = NULL;
	}
	t->latest = NULL;
	return &t->held;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	tree_forget(t);
	close_held(t);
	for (size_t i = 0; i < t->n_noted; i++)
		free(t->noted[i].path);
	free(t->noted);
	free(t);
}

/* Drops the last component of a clean path. */
static size_t pop(char *path, size_t len)
{
	while (len > 0 && path[len - 1] != '/')
		len--;
	return len > 0 ? len - 1 : 0;
}

static bool is_component(const char *p, size_t len, const char *what)
{
	return len == strlen(what) && memcmp(p, what, len) == 0;
}

struct err *tree_clean(const char *name, char *ret)
{
	bool absolute = name[0] == '/';
	size_t n = 0;

	for (const char *p = name; *p;) {
		size_t len = strcspn(p, "/");

		if (is_component(p, len, "..")) {
			if (n == 0 && !absolute)
				return err_new(ERR_INVALID, "leads out of the layer's root");
			n = pop(ret, n);
		} else if (len > TAR_COMPONENT_MAX) {
			return err_new(ERR_INVALID, "name longer than %d bytes", TAR_COMPONENT_MAX);
		} else if (len > 0 && !is_component(p, len, ".")) {
			if (n + len + 2 > TAR_PATH_MAX)
				return err_new(
					ERR_INVALID, "path longer than %d bytes", TAR_PATH_MAX - 1);
			if (n > 0)
				ret[n++] = '/';
			memcpy(ret + n, p, len);
			n += len;
		}
		p += len;
		p += *p == '/';
	}
	ret[n] = '\0';
	return NULL;
}

int open_in_root(int root_fd, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)flags,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	do {
		fd = syscall(SYS_openat2, root_fd, *path ? path : ".", &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return fd < 0 ? -errno : (int)fd;
}

static bool inherits(int fd, const struct stat *st)
{
	return (st->st_mode & S_ISGID) || fgetxattr(fd, "system.posix_acl_default", NULL, 0) > 0;
}

/* A link's target put in front of what is still to be walked. */
static struct err *expand(int link_fd, struct buf *done, struct buf *todo)
{
	char target[TAR_PATH_MAX];
	ssize_t n = readlinkat(link_fd, "", target, sizeof(target));
	struct buf joined = BUF_INIT(2 * TAR_PATH_MAX);

	if (n < 0)
		return err_sys(errno, "read a symlink");
	if (target[0] == '/')
		buf_reset(done);
	if (!buf_append(&joined, target, (size_t)n) || !buf_append(&joined, "/", 1) ||
		!buf_append(&joined, buf_str(todo), todo->len)) {
		buf_done(&joined);
		return err_sys(ENAMETOOLONG, "follow symlinks");
	}
	buf_done(todo);
	*todo = joined;
	return NULL;
}

/* One component further. What does not exist is taken as it stands. */
static struct err *resolve_step(struct tree *t, struct buf *done, struct buf *todo, int *links)
{
	size_t before = done->len, len = strcspn(buf_str(todo), "/");
	autofree char *part = xstrndup(buf_str(todo), len);
	autofd fd = -1;
	struct stat st;

	buf_consume(todo, MIN(len + 1, todo->len));
	if (str_eq(part, "") || str_eq(part, "."))
		return NULL;
	if (str_eq(part, "..")) {
		if (done->len) {
			done->len = pop((char *)done->data, done->len);
			done->data[done->len] = '\0';
		}
		return NULL;
	}
	if (!buf_printf(done, "%s%s", done->len ? "/" : "", part))
		return err_sys(ENAMETOOLONG, "follow symlinks");
	fd = open_in_root(t->root_fd, buf_str(done), O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -ENOENT)
		return NULL;
	if (fd < 0)
		return err_sys(-fd, "look up a parent directory");
	if (fstat(fd, &st) < 0)
		return err_sys(errno, "look up a parent directory");
	if (!S_ISLNK(st.st_mode))
		return NULL;
	if (++*links > LINKS_MAX)
		return err_sys(ELOOP, "follow symlinks");
	done->len = before;
	done->data[before] = '\0';
	return expand(fd, done, todo);
}

/* The path with all symlinks followed, also those that lead to nothing. Caller frees. */
static struct err *resolve(struct tree *t, const char *path, char **ret)
{
	autoval(buf) done = BUF_INIT(TAR_PATH_MAX - 1);
	autoval(buf) todo = BUF_INIT(2 * TAR_PATH_MAX);
	int links = 0;

	if (!buf_append(&todo, path, strlen(path)))
		return err_sys(ENAMETOOLONG, "follow symlinks");
	while (todo.len)
		TRY(resolve_step(t, &done, &todo, &links));
	*ret = buf_take(&done, NULL);
	return NULL;
}

static struct err *copy_xattrs(int from, int to)
{
	autofree char *names = xmalloc(XATTR_LIST_MAX);
	autofree char *value = xmalloc(XATTR_LIST_MAX);
	ssize_t len = flistxattr(from, names, XATTR_LIST_MAX);

	for (const char *p = names; p < names + MAX(len, 0); p += strlen(p) + 1) {
		ssize_t n;

		if (str_starts(p, "trusted.") || str_starts(p, "user.overlay."))
			continue;
		n = fgetxattr(from, p, value, XATTR_LIST_MAX);
		if (n < 0)
			continue;
		if (fsetxattr(to, p, value, (size_t)n, XATTR_CREATE) < 0 && errno != ENOTSUP &&
			errno != EEXIST && errno != ENODATA)
			return err_sys(errno, "set xattr %s of a parent directory", p);
	}
	return NULL;
}

/* Owner, mode, times and xattrs of the same directory in the topmost lower layer that has it. */
static struct err *inherit(struct tree *t, const char *path, int fd)
{
	for (size_t i = 0; i < t->n_lowers; i++) {
		autofd lower = open_in_root(t->lowers[i], path, DIR_FLAGS);
		struct timespec times[2];
		struct stat st;

		if (lower == -ENOENT)
			continue;
		if (lower == -ENOTDIR)
			return NULL;
		if (lower < 0)
			return err_sys(-lower, "look up a parent directory in the layers below");
		if (fstat(lower, &st) < 0 || fchown(fd, st.st_uid, st.st_gid) < 0 ||
			fchmod(fd, st.st_mode & 07777) < 0)
			return err_sys(errno, "give a parent directory its attributes");
		times[0] = st.st_atim;
		times[1] = st.st_mtim;
		TRY(tree_note_times(t, path, times));
		return copy_xattrs(lower, fd);
	}
	return NULL;
}

/* Makes what is missing of a path without symlinks. */
static struct err *make_dirs(struct tree *t, const char *path)
{
	autofree char *walk = xstrdup(path);
	autofd at = open_in_root(t->root_fd, "", DIR_FLAGS);

	if (at < 0)
		return err_sys(-at, "open the root");
	for (char *p = walk, *end; *p; p = end) {
		bool last, made;
		int next;

		end = strchrnul(p, '/');
		last = *end == '\0';
		*end = '\0';
		made = mkdirat(at, p, 0755) == 0;
		if (!made && errno != EEXIST)
			return err_sys(errno, "make parent directory %s", p);
		next = openat(at, p, DIR_FLAGS | O_NOFOLLOW);
		if (next < 0)
			return err_sys(errno, "parent directory %s", p);
		close(at);
		at = next;
		if (made) {
			if (fchmod(at, 0755) < 0)
				return err_sys(errno, "make parent directory %s", p);
			TRY(inherit(t, walk, at));
		}
		if (!last)
			*end++ = '/';
	}
	return NULL;
}

static struct err *open_parent(struct tree *t, const char *path, bool make, int *ret)
{
	autofree char *resolved = NULL;
	int fd = open_in_root(t->root_fd, path, DIR_FLAGS);

	if (fd == -ENOENT && make) {
		TRY(resolve(t, path, &resolved));
		TRY(make_dirs(t, resolved));
		fd = open_in_root(t->root_fd, resolved, DIR_FLAGS);
	}
	if (fd < 0)
		return err_sys(-fd, "open the parent directory");
	*ret = fd;
	return NULL;
}

static struct cached_dir *find_cached(struct tree *t, const char *path, size_t len, uint64_t hash)
{
	for (size_t i = 0; i < CACHED_DIRS; i++) {
		struct cached_dir *c = &t->cache[i];

		if (c->path && c->hash == hash && strncmp(c->path, path, len) == 0 &&
			c->path[len] == '\0')
			return c;
	}
	return NULL;
}

static struct cached_dir *free_slot(struct tree *t)
{
	struct cached_dir *oldest = &t->cache[0];

	for (size_t i = 0; i < CACHED_DIRS; i++) {
		if (!t->cache[i].path)
			return &t->cache[i];
		if (t->cache[i].last_use < oldest->last_use)
			oldest = &t->cache[i];
	}
	close(oldest->dir.fd);
	free(oldest->path);
	oldest->path = NULL;
	return oldest;
}

struct err *tree_parent(
	struct tree *t, const char *path, bool make, struct tree_dir **ret, const char **ret_base)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	uint64_t hash = hash_bytes(path, len);
	struct cached_dir *c = t->latest;

	if (!c || c->hash != hash || strncmp(c->path, path, len) != 0 || c->path[len] != '\0')
		c = find_cached(t, path, len, hash);
	if (!c) {
		autofree char *parent = xstrndup(path, len);
		struct stat st;
		autofd fd = -1;

		TRY(open_parent(t, parent, make, &fd));
		if (fstat(fd, &st) < 0)
			return err_sys(errno, "open the parent directory");
		c = free_slot(t);
		c->dir = (struct tree_dir){.dev = st.st_dev, .ino = st.st_ino};
		c->dir.inherits = inherits(fd, &st);
		c->dir.fd = TAKE_FD(fd);
		c->path = TAKE(parent);
		c->hash = hash;
	}
	c->last_use = ++t->uses;
	t->latest = c;
	*ret = &c->dir;
	*ret_base = slash ? slash + 1 : path;
	return NULL;
}

struct err *tree_note_times(struct tree *t, const char *path, const struct timespec times[2])
{
	struct noted_times *n;

	t->noted_bytes += strlen(path) + 1 + sizeof(*n);
	if (t->noted_bytes > NOTED_BYTES_MAX)
		return err_new(ERR_INVALID, "too many directories");
	GROW(t->noted, t->n_noted, t->cap_noted);
	n = &t->noted[t->n_noted++];
	n->path = xstrdup(path);
	memcpy(n->times, times, sizeof(n->times));
	return NULL;
}

struct err *tree_set_times(struct tree *t)
{
	for (size_t i = 0; i < t->n_noted; i++) {
		const struct noted_times *n = &t->noted[i];
		autofd fd = open_in_root(t->root_fd, n->path, DIR_FLAGS);
		autofree char *name = NULL;

		/* A later entry may have replaced or removed it. */
		if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
			continue;
		name = tar_printable(n->path);
		if (fd < 0)
			return err_sys(-fd, "entry \"%s\"", name);
		if (futimens(fd, n->times) < 0)
			return err_sys(errno, "entry \"%s\": set times", name);
	}
	return NULL;
}
