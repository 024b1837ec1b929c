// SPDX-License-Identifier: Apache-2.0
/* What the labels containerd.io/gc.* mean (containerd's docs/garbage-collection.md). */
#include <string.h>

#include "base/alloc.h"
#include "meta/gc-graph.h"

#define PREFIX "containerd.io/gc."

static const struct {
	const char *name; /* behind the prefix */
	enum gc_type type;
	bool back;
} kinds[] = {
	{"ref.content", GC_CONTENT, false},
	{"ref.image", GC_IMAGE, false},
	{"ref.snapshot.", GC_SNAPSHOT, false},
	{"bref.container", GC_CONTAINER, true},
	{"bref.content", GC_CONTENT, true},
	{"bref.image", GC_IMAGE, true},
	{"bref.snapshot.", GC_SNAPSHOT, true},
};

void gc_reference_done(struct gc_reference *r)
{
	free(r->snapshotter);
	*r = (struct gc_reference){0};
}

/* "<" or ">" and an age behind "usedat"; others mean nothing to us. */
static bool parse_condition(const char *text, struct gc_reference *ret)
{
	autoptr(err) e = NULL;

	if (!str_starts(text, "usedat<") && !str_starts(text, "usedat>"))
		return false;
	ret->younger = text[6] == '<';
	e = duration_parse(text + 7, &ret->age_ns);
	return !e;
}

/* "cond.snapshot[.<snapshotter>][/x]" = "<condition>[,<condition>...]|<key>" */
static bool parse_conditional(
	const char *name, const char *value, size_t nth, struct gc_reference *ret)
{
	const char *snapshotter = name + strlen("cond.snapshot");
	const char *bar = strchr(value, '|');
	autoval(strv) conditions = STRV_INIT;
	autofree char *all = NULL;

	if (!bar)
		return false;
	all = xstrndup(value, (size_t)(bar - value));
	strv_split(&conditions, all, ',');
	if (nth >= conditions.n)
		return false;
	ret->condition = true;
	ret->age_ns = -1;
	if (!parse_condition(conditions.items[nth], ret))
		ret->age_ns = -1; /* one that never holds */
	snapshotter += strspn(snapshotter, "./");
	ret->type = GC_SNAPSHOT;
	ret->snapshotter = xstrndup(snapshotter, strcspn(snapshotter, "/"));
	ret->key = bar + 1;
	return true;
}

bool gc_reference_parse(const char *label, const char *value, size_t nth, struct gc_reference *ret)
{
	const char *name = label + strlen(PREFIX);

	*ret = (struct gc_reference){0};
	if (!str_starts(label, PREFIX))
		return false;
	if (str_starts(name, "cond.snapshot"))
		return parse_conditional(name, value, nth, ret);
	if (nth > 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const char *rest = name + strlen(kinds[i].name);

		if (!str_starts(name, kinds[i].name))
			continue;
		*ret = (struct gc_reference){
			.type = kinds[i].type, .key = value, .back = kinds[i].back};
		if (kinds[i].type == GC_SNAPSHOT)
			ret->snapshotter = xstrndup(rest, strcspn(rest, "/"));
		else if (*rest && *rest != '.' && *rest != '/')
			return false;
		return true;
	}
	return false;
}
