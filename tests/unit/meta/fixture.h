// SPDX-License-Identifier: Apache-2.0
/* A database in a directory of its own, for the tests of this folder and of namespaced/. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/strv.h"
#include "meta/db.h"

struct fixture {
	char *dir, *path;
	struct meta *meta;
};

#define DIGEST(c) "sha256:" c c c c c c c c c c c c c c c c
#define DIGEST_A DIGEST("aaaa")
#define DIGEST_B DIGEST("bbbb")
#define DIGEST_C DIGEST("cccc")
#define DIGEST_D DIGEST("dddd")

static const struct scope in_test = {.ns = "test"};
static const struct scope in_other = {.ns = "other"};

static inline void ok_at(struct err *e, const char *file, int line)
{
	if (e) {
		print_error("%s\n", err_message(e));
		err_free(e);
		_fail(file, line);
	}
}
#define ok(expr) ok_at((expr), __FILE__, __LINE__)

static inline void refused_at(
	struct err *e, enum err_class class, const char *text, const char *file, int line)
{
	if (err_class(e) != class || (text && strcmp(err_message(e), text) != 0)) {
		print_error("expected %s \"%s\", got %s \"%s\"\n", err_class_name(class),
			text ?: "", err_class_name(err_class(e)), err_message(e));
		err_free(e);
		_fail(file, line);
	}
	err_free(e);
}
/* The expression fails with this class and, unless NULL, exactly this text. */
#define refused(expr, class, text) refused_at((expr), (class), (text), __FILE__, __LINE__)

static inline int fixture_setup(void **state)
{
	struct fixture *f = NEW(struct fixture);

	f->dir = xstrdup("/tmp/meta-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->path = path_join(f->dir, "meta.db");
	ok(meta_open(f->path, &f->meta));
	*state = f;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	meta_close(f->meta);
	ok(remove_tree(f->dir));
	free(f->path);
	free(f->dir);
	free(f);
	return 0;
}

static inline void fixture_reopen(struct fixture *f)
{
	meta_close(f->meta);
	f->meta = NULL;
	ok(meta_open(f->path, &f->meta));
}

/* "key=value" texts, up to NULL. */
static inline void labels_set(struct strmap *labels, ...)
{
	const char *text;
	va_list ap;

	va_start(ap, labels);
	while ((text = va_arg(ap, const char *))) {
		autofree char *key = xstrndup(text, (size_t)(strchr(text, '=') - text));

		strmap_set(labels, key, strchr(text, '=') + 1);
	}
	va_end(ap);
}

/* The changes seen, as "kind:ns:id" lines. */
static inline void observe_into(const struct change *c, void *arg)
{
	strv_addf(arg, "%d:%s:%s", (int)c->kind, c->ns, c->id);
}
