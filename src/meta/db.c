// SPDX-License-Identifier: Apache-2.0
#include "meta/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/identifier.h"
#include "meta/gc.h"
#include "meta/internal.h"

static void configure_sqlite(void)
{
	/* Each connection is used by one thread at a time, and nobody asks for its statistics. */
	(void)sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	(void)sqlite3_initialize();
}

static struct err *held_elsewhere(const char *path, int lock_fd)
{
	char pid[32] = "";
	ssize_t n = pread(lock_fd, pid, sizeof(pid) - 1, 0);

	pid[n > 0 ? strspn(pid, "0123456789") : 0] = '\0';
	return err_new(ERR_UNAVAILABLE,
		"metadata database %s is in use by another containerd (pid %s); stop it first, or "
		"use "
		"another root directory",
		path, *pid ? pid : "unknown");
}

/* Held until the process ends, however it does. */
static struct err *take_lock_file(struct meta *m)
{
	autofree char *name = xasprintf("%s.lock", m->path);
	char pid[32];
	int len;

	m->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (m->lock_fd < 0)
		return err_sys(errno, "open %s", name);
	if (flock(m->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return errno == EWOULDBLOCK ? held_elsewhere(m->path, m->lock_fd)
					    : err_sys(errno, "lock %s", name);
	len = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(m->lock_fd, 0) != 0 || pwrite(m->lock_fd, pid, (size_t)len, 0) != len)
		return err_sys(errno, "write %s", name);
	return NULL;
}

/* The database may not be readable by others: specifications have secrets in their environment. */
static struct err *create_private(const char *path)
{
	autofd fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? err_sys(errno, "open metadata database %s", path) : NULL;
}

/* Snapshots that were being made when the process ended. */
static struct err *drop_reservations(struct conn *c, void *arg)
{
	TRY(sql_run(c,
		"INSERT OR IGNORE INTO stale_snapshots(snapshotter, id)"
		" SELECT snapshotter, id FROM snapshots WHERE reserved=1",
		""));
	return sql_run(c, "DELETE FROM snapshots WHERE reserved=1", "");
}

static struct meta *meta_new(const char *path)
{
	struct meta *m = NEW(struct meta);

	m->path = xstrdup(path);
	m->lock_fd = -1;
	m->queue_tail = &m->queue_head;
	lock_init(&m->write_lock);
	lock_init(&m->read_lock);
	lock_init(&m->files_lock);
	lock_init(&m->touched_lock);
	lock_init(&m->gc_lock);
	cond_init(&m->reader_free);
	return m;
}

struct err *meta_open(const char *path, struct meta **ret)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	autoptr(meta) m = meta_new(path);

	pthread_once(&once, configure_sqlite);
	TRY(take_lock_file(m));
	TRY(create_private(path));
	TRY(conn_open(m, true, &m->writer));
	TRY(schema_upgrade(&m->writer));
	TRY(meta_write(m, RELAXED, drop_reservations, NULL));
	*ret = TAKE(m);
	return NULL;
}

void meta_close(struct meta *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n_readers; i++)
		conn_done(&m->readers[i]);
	conn_done(&m->writer); /* the last connection writes the journal back */
	if (m->lock_fd >= 0)
		close(m->lock_fd);
	cond_done(&m->reader_free);
	strv_done(&m->touched);
	strv_done(&m->pins);
	strv_done(&m->removed_blobs);
	strv_done(&m->removed_ingests);
	lock_done(&m->gc_lock);
	lock_done(&m->touched_lock);
	lock_done(&m->files_lock);
	lock_done(&m->read_lock);
	lock_done(&m->write_lock);
	free(m->path);
	free(m);
}

struct err *scope_check(const struct scope *s)
{
	if (!s->ns || !*s->ns)
		return err_new(ERR_PRECONDITION, "namespace is required: failed precondition");
	return err_wrap(identifier_check(s->ns), "namespace validation");
}

void meta_set_observer(
	struct meta *m, void (*observe)(const struct change *c, void *arg), void *arg)
{
	m->observe = observe;
	m->observe_arg = arg;
}

void meta_announce(struct meta *m, const struct change *c)
{
	if (m->observe)
		m->observe(c, m->observe_arg);
}

void meta_count_deletion(struct conn *c)
{
	atomic_fetch_add(&c->meta->deletions, 1);
}

struct err *ensure_namespace(struct conn *c, const char *ns)
{
	return sql_run(c, "INSERT OR IGNORE INTO namespaces(name) VALUES(?1)", "s", ns);
}
