// SPDX-License-Identifier: Apache-2.0
/* Connections, the cache of prepared statements, and binding. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "meta/internal.h"

#define BUSY_MS 10000

static enum err_class class_of(int code, int errnum)
{
	switch (code & 0xff) {
	case SQLITE_FULL:
		return ERR_EXHAUSTED;
	case SQLITE_IOERR:
		return errnum == ENOSPC || errnum == EDQUOT ? ERR_EXHAUSTED : ERR_INTERNAL;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ERR_DATA_LOSS;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_UNAVAILABLE;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_CANTOPEN:
		return errnum == ENOENT ? ERR_NOT_FOUND : ERR_PERMISSION;
	default:
		return ERR_INTERNAL;
	}
}

struct err *conn_error(struct conn *c, const char *doing)
{
	int errnum = sqlite3_system_errno(c->db);
	enum err_class class = class_of(sqlite3_extended_errcode(c->db), errnum);
	const char *path = c->meta->path, *why = sqlite3_errmsg(c->db);

	if (class == ERR_EXHAUSTED)
		return err_new(class,
			"metadata database %s: no space left on the device; free some and try "
			"again",
			path);
	if (class == ERR_DATA_LOSS)
		return err_new(class,
			"metadata database %s is damaged (%.30s...: %s); nothing was changed: "
			"restore "
			"the file "
			"from a backup, or move it away together with %s-wal to start empty",
			path, doing, why, path);
	if (errnum)
		return err_new(class, "metadata database %s: %.30s...: %s: %s", path, doing, why,
			strerrordesc_np(errnum) ?: "unknown error");
	return err_new(class, "metadata database %s: %.30s...: %s", path, doing, why);
}

struct err *sql_exec(struct conn *c, const char *sql)
{
	return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK ? NULL : conn_error(c, sql);
}

struct err *conn_open(struct meta *m, bool writer, struct conn *ret)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
		    (writer ? SQLITE_OPEN_CREATE : 0);
	struct err *e = NULL;

	*ret = (struct conn){.meta = m};
	if (sqlite3_open_v2(m->path, &ret->db, flags, NULL) != SQLITE_OK)
		e = conn_error(ret, "open");
	if (!e)
		(void)sqlite3_busy_timeout(ret->db, BUSY_MS);
	/* Small caches: the kernel has the pages, and the daemon is to be small. */
	if (!e)
		e = sql_exec(ret,
			writer ? "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
				 "PRAGMA cache_size=-256; PRAGMA temp_store=MEMORY; "
				 "PRAGMA secure_delete=FAST; PRAGMA journal_size_limit=4194304; "
				 "PRAGMA wal_autocheckpoint=1000"
			       : "PRAGMA query_only=1; PRAGMA cache_size=-128; "
				 "PRAGMA temp_store=MEMORY");
	if (e)
		conn_done(ret);
	return e;
}

void conn_done(struct conn *c)
{
	for (size_t i = 0; i < c->n; i++)
		sqlite3_finalize(c->statements[i].st);
	free(c->statements);
	sqlite3_close(c->db);
	c->statements = NULL;
	c->n = c->cap = 0;
	c->db = NULL;
}

static struct err *prepare(struct conn *c, const char *sql, sqlite3_stmt **ret)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->statements[i].sql == sql) {
			*ret = c->statements[i].st;
			return NULL;
		}
	}
	if (sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL) != SQLITE_OK)
		return conn_error(c, sql);
	GROW(c->statements, c->n, c->cap);
	c->statements[c->n++] = (struct cached_statement){sql, *ret};
	return NULL;
}

static int bind_one(sqlite3_stmt *st, int i, char type, va_list *ap)
{
	const struct buf *b;
	const void *data;

	switch (type) {
	case 's':
		return sqlite3_bind_text(st, i, va_arg(*ap, const char *), -1, SQLITE_STATIC);
	case 'i':
		return sqlite3_bind_int64(st, i, va_arg(*ap, int64_t));
	case 'v':
		data = va_arg(*ap, const void *);
		return sqlite3_bind_blob64(st, i, data, va_arg(*ap, size_t), SQLITE_STATIC);
	case 'b':
		b = va_arg(*ap, const struct buf *);
		return sqlite3_bind_blob64(st, i, b->len ? b->data : NULL, b->len, SQLITE_STATIC);
	default:
		return SQLITE_MISUSE;
	}
}

static struct err *start(
	struct conn *c, sqlite3_stmt **ret, const char *sql, const char *types, va_list *ap)
{
	sqlite3_stmt *st = NULL;

	TRY(prepare(c, sql, &st));
	*ret = st; /* reset by the caller, also after a failure to bind */
	for (int i = 0; types[i]; i++)
		if (bind_one(st, i + 1, types[i], ap) != SQLITE_OK)
			return conn_error(c, sql);
	return NULL;
}

struct err *sql_start(struct conn *c, sqlite3_stmt **ret, const char *sql, const char *types, ...)
{
	struct err *e;
	va_list ap;

	va_start(ap, types);
	e = start(c, ret, sql, types, &ap);
	va_end(ap);
	return e;
}

struct err *sql_row(struct conn *c, sqlite3_stmt *st, bool *ret)
{
	int r = sqlite3_step(st);

	if (r != SQLITE_ROW && r != SQLITE_DONE)
		return conn_error(c, sqlite3_sql(st));
	*ret = r == SQLITE_ROW;
	return NULL;
}

struct err *sql_run(struct conn *c, const char *sql, const char *types, ...)
{
	autostmt st = NULL;
	struct err *e;
	va_list ap;
	bool row;

	va_start(ap, types);
	e = start(c, &st, sql, types, &ap);
	va_end(ap);
	return e ?: sql_row(c, st, &row);
}

struct err *sql_exists(struct conn *c, bool *ret, const char *sql, const char *types, ...)
{
	autostmt st = NULL;
	struct err *e;
	va_list ap;

	va_start(ap, types);
	e = start(c, &st, sql, types, &ap);
	va_end(ap);
	return e ?: sql_row(c, st, ret);
}

const char *sql_peek(sqlite3_stmt *st, int column)
{
	return (const char *)sqlite3_column_text(st, column) ?: "";
}

char *sql_text(sqlite3_stmt *st, int column)
{
	return xstrdup(sql_peek(st, column));
}
