// SPDX-License-Identifier: Apache-2.0
#include "shim/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/strmap.h"

#define MOUNT "/sys/fs/cgroup"
#define CGROUP2_MAGIC 0x63677270
#define TEXT_MAX ((size_t)256 << 10)
#define DEPTH_MAX 16
#define PIDS_MAX ((size_t)1 << 20)

struct cgroup {
	bool unified;
	struct strmap dirs; /* controller -> directory; version 2: "" -> directory */
};

static bool is_unified(void)
{
	struct statfs st;

	return statfs(MOUNT, &st) == 0 && st.f_type == CGROUP2_MAGIC;
}

void cgroup_free(struct cgroup *c)
{
	if (!c)
		return;
	strmap_done(&c->dirs);
	free(c);
}

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void add_dir(struct cgroup *c, const char *controller, const char *path)
{
	autofree char *base = *controller ? path_join(MOUNT, controller) : xstrdup(MOUNT);
	autofree char *dir = xasprintf("%s/%s", base, *path == '/' ? path + 1 : path);

	if (is_dir(dir))
		strmap_set(&c->dirs, controller, dir);
}

/* "4:cpu,cpuacct:/path": the directory is found under each controller's name, as links or mounts
 * exist for them. */
static void add_line(struct cgroup *c, char *line)
{
	char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;

	if (!path)
		return;
	*names++ = *path++ = '\0';
	if (c->unified) {
		if (!*names)
			add_dir(c, "", path);
		return;
	}
	while (*names) {
		size_t len = strcspn(names, ",");
		bool last = !names[len];

		names[len] = '\0';
		if (*names && !str_starts(names, "name="))
			add_dir(c, names, path);
		names += len + !last;
	}
}

struct err *cgroup_of(pid_t pid, struct cgroup **ret)
{
	autofree char *path = xasprintf("/proc/%d/cgroup", (int)pid), *text = NULL;
	autoptr(cgroup) c = NULL;
	char *save = NULL;
	size_t len;

	TRY(file_read(path, TEXT_MAX, &text, &len));
	c = NEW(struct cgroup);
	c->unified = is_unified();
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		add_line(c, line);
	if (!c->dirs.n)
		return err_new(ERR_NOT_FOUND, "cgroup of process %d", (int)pid);
	*ret = TAKE(c);
	return NULL;
}

struct err *cgroup_named(const char *path, struct cgroup **ret)
{
	autoptr(cgroup) c = NEW(struct cgroup);
	DIR *hierarchies;

	c->unified = is_unified();
	if (strstr(path, ".."))
		return err_new(ERR_INVALID, "cgroup path %s", path);
	if (c->unified) {
		add_dir(c, "", path);
	} else if ((hierarchies = opendir(MOUNT))) {
		for (struct dirent *d; (d = readdir(hierarchies));)
			if (d->d_name[0] != '.' && strcmp(d->d_name, "unified") != 0)
				add_dir(c, d->d_name, path);
		closedir(hierarchies);
	}
	if (!c->dirs.n)
		return err_new(ERR_NOT_FOUND, "cgroup %s", path);
	*ret = TAKE(c);
	return NULL;
}

bool cgroup_is_unified(const struct cgroup *c)
{
	return c->unified;
}

const char *cgroup_dir(const struct cgroup *c, const char *controller)
{
	return strmap_get(&c->dirs, c->unified ? "" : controller);
}

bool cgroup_exists(const struct cgroup *c)
{
	for (size_t i = 0; i < c->dirs.n; i++)
		if (is_dir(c->dirs.entries[i].value))
			return true;
	return false;
}

struct pids {
	pid_t *items;
	size_t n, cap;
};

static void add_pids(struct pids *p, const char *text)
{
	while (*text && p->n < PIDS_MAX) {
		char *end;
		long pid = strtol(text, &end, 10);

		if (end == text)
			return;
		GROW(p->items, p->n, p->cap);
		p->items[p->n++] = (pid_t)pid;
		text = end + (*end == '\n');
	}
}

static bool walk(struct pids *p, const char *dir, int depth)
{
	autofree char *text = cgroup_text(dir, "cgroup.procs");
	DIR *children;

	if (!text)
		return false;
	add_pids(p, text);
	children = depth < DEPTH_MAX ? opendir(dir) : NULL;
	if (!children)
		return true;
	for (struct dirent *d; (d = readdir(children));) {
		autofree char *child = NULL;

		if (d->d_type != DT_DIR || d->d_name[0] == '.')
			continue;
		child = path_join(dir, d->d_name);
		walk(p, child, depth + 1);
	}
	closedir(children);
	return true;
}

/* Version 1: any hierarchy has all the processes; a controller that the runtime places containers
 * in is preferred. */
static const char *process_dir(const struct cgroup *c)
{
	static const char *const preferred[] = {"devices", "memory", "pids", "cpu"};

	if (c->unified)
		return cgroup_dir(c, "");
	for (size_t i = 0; i < ARRAY_LEN(preferred); i++)
		if (cgroup_dir(c, preferred[i]))
			return cgroup_dir(c, preferred[i]);
	return c->dirs.entries[0].value;
}

struct err *cgroup_pids(const struct cgroup *c, pid_t **ret, size_t *ret_n)
{
	struct pids p = {0};

	if (!walk(&p, process_dir(c), 0)) {
		free(p.items);
		return err_new(ERR_NOT_FOUND, "cgroup %s does not exist", process_dir(c));
	}
	*ret = p.items;
	*ret_n = p.n;
	return NULL;
}

struct err *cgroup_add(const struct cgroup *c, pid_t pid)
{
	autofree char *number = xasprintf("%d", (int)pid);

	for (size_t i = 0; i < c->dirs.n; i++) {
		autofree char *path = path_join(c->dirs.entries[i].value, "cgroup.procs");
		autofd fd = open(path, O_WRONLY | O_CLOEXEC);
		int r = fd < 0 ? -errno : write_full(fd, number, strlen(number));

		if (r < 0)
			return err_sys(-r, "write %s", path);
	}
	return NULL;
}

char *cgroup_text(const char *dir, const char *file)
{
	autofree char *path = path_join(dir, file);
	char *text = NULL;
	autoptr(err) e = file_read(path, TEXT_MAX, &text, &(size_t){0});

	return e ? NULL : text;
}

static uint64_t number_of(const char *text)
{
	if (str_starts(text, "max"))
		return UINT64_MAX;
	return *text == '-' ? 0 : strtoull(text, NULL, 10);
}

uint64_t cgroup_number(const char *dir, const char *file)
{
	autofree char *text = cgroup_text(dir, file);

	return text ? number_of(text) : 0;
}

uint64_t cgroup_value(const char *text, const char *key)
{
	size_t len = strlen(key);

	while (text && *text) {
		if (!strncmp(text, key, len) && text[len] == ' ')
			return number_of(text + len + 1);
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return 0;
}
