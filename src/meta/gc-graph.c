// SPDX-License-Identifier: Apache-2.0
#include "meta/gc-graph.h"

#include <string.h>

#include "base/alloc.h"

#define LABEL_ROOT "containerd.io/gc.root"
#define LABEL_USED "containerd.io/gc.cond.value-usedat"

struct gc_graph *gc_graph_new(void)
{
	struct gc_graph *g = NEW(struct gc_graph);

	g->arena = arena_new();
	return g;
}

void gc_graph_free(struct gc_graph *g)
{
	if (!g)
		return;
	map_done(&g->nodes, NULL);
	free(g->all);
	arena_free(g->arena);
	free(g);
}

/* Neither namespaces nor snapshotters have a slash in them. */
char *gc_key(enum gc_type type, const char *ns, const char *snapshotter, const char *key)
{
	return xasprintf("%d/%s/%s/%s", (int)type, ns, snapshotter ?: "", key);
}

struct gc_node *gc_graph_node(struct gc_graph *g, enum gc_type type, const char *ns,
	const char *snapshotter, const char *key)
{
	autofree char *name = gc_key(type, ns, snapshotter, key);
	struct gc_node *n = map_get(&g->nodes, name);

	if (n)
		return n;
	n = ARENA_NEW(g->arena, struct gc_node);
	n->type = type;
	n->ns = arena_strdup(g->arena, ns);
	n->snapshotter = arena_strdup(g->arena, snapshotter);
	n->key = arena_strdup(g->arena, key);
	map_set(&g->nodes, name, n);
	return n;
}

struct gc_node *gc_graph_row(struct gc_graph *g, enum gc_type type, const char *ns,
	const char *snapshotter, const char *key)
{
	struct gc_node *n = gc_graph_node(g, type, ns, snapshotter, key);

	if (!n->exists) {
		n->exists = true;
		GROW(g->all, g->n, g->cap);
		g->all[g->n++] = n;
	}
	return n;
}

void gc_graph_edge(struct gc_graph *g, struct gc_node *from, struct gc_node *to, bool structural)
{
	struct gc_edge *e = ARENA_NEW(g->arena, struct gc_edge);

	*e = (struct gc_edge){.to = to, .next = from->edges, .structural = structural};
	from->edges = e;
}

static void add_condition(struct gc_graph *g, struct gc_node *from, struct gc_node *snapshot,
	const struct gc_reference *r)
{
	struct gc_condition *c = ARENA_NEW(g->arena, struct gc_condition);

	*c = (struct gc_condition){.from = from,
		.snapshot = snapshot,
		.younger = r->younger,
		.age_ns = r->age_ns,
		.next = g->conditions};
	g->conditions = c;
}

static void add_use(struct gc_graph *g, struct gc_node *snapshot, const char *value)
{
	struct timestamp at;
	struct gc_use *u;

	autoptr(err) e = timestamp_parse(value, &at);
	if (e)
		return;
	u = ARENA_NEW(g->arena, struct gc_use);
	*u = (struct gc_use){.snapshot = snapshot, .at = at, .next = g->uses};
	g->uses = u;
}

static void add_reference(struct gc_graph *g, struct gc_node *node, const struct gc_reference *r)
{
	struct gc_node *other = gc_graph_node(g, r->type, node->ns, r->snapshotter, r->key);

	if (r->condition) {
		if (r->age_ns >= 0 && (node->type == GC_CONTENT || node->type == GC_IMAGE))
			add_condition(g, node, other, r);
	} else if (r->back) {
		gc_graph_edge(g, other, node, false);
	} else {
		gc_graph_edge(g, node, other, false);
	}
}

void gc_graph_labels(
	struct gc_graph *g, struct gc_node *node, const struct strmap *labels, bool *ret_root)
{
	*ret_root = false;
	for (size_t i = 0; i < labels->n; i++) {
		const char *key = labels->entries[i].key, *value = labels->entries[i].value;

		if (str_starts(key, LABEL_ROOT))
			*ret_root = node->type == GC_CONTENT || node->type == GC_SNAPSHOT;
		if (str_starts(key, LABEL_USED) && node->type == GC_SNAPSHOT)
			add_use(g, node, value);
		for (size_t nth = 0;; nth++) {
			autoval(gc_reference) r = {0};

			if (!gc_reference_parse(key, value, nth, &r))
				break;
			add_reference(g, node, &r);
		}
	}
}

void gc_graph_settle(struct gc_graph *g, struct timestamp now)
{
	for (struct gc_condition *c = g->conditions; c; c = c->next) {
		for (struct gc_use *u = g->uses; u; u = u->next) {
			int64_t age = timestamp_to_ns(now) - timestamp_to_ns(u->at);

			if (u->snapshot == c->snapshot && age != c->age_ns &&
				(age < c->age_ns) == c->younger)
				gc_graph_edge(g, c->from, c->snapshot, false);
		}
	}
}

static void push(struct gc_node **todo, struct gc_node *n, bool flat)
{
	bool *mark = flat ? &n->marked_flat : &n->marked;

	/* A full mark goes everywhere a flat one does. */
	if (*mark || n->marked)
		return;
	*mark = true;
	n->next_todo = *todo;
	*todo = n;
}

void gc_graph_mark(struct gc_node *node, bool flat)
{
	struct gc_node *todo = NULL;

	push(&todo, node, flat);
	while (todo) {
		struct gc_node *n = todo;

		todo = n->next_todo;
		for (struct gc_edge *e = n->edges; e; e = e->next)
			if (e->structural || !flat)
				push(&todo, e->to, flat);
	}
}
