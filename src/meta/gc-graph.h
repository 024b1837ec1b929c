// SPDX-License-Identifier: Apache-2.0
/* The graph of a collection in memory: objects, what each keeps alive, and what is marked. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/strmap.h"
#include "meta/internal.h"

struct gc_node;

struct gc_edge {
	struct gc_node *to;
	struct gc_edge *next;
	bool structural; /* a parent or a target, not a label: followed by flat marks, too */
};

struct gc_node {
	enum gc_type type;
	bool exists; /* as a row; others are only named by some edge */
	bool marked, marked_flat;
	bool flat;  /* a lease that keeps what it lists, not what that refers to */
	int64_t id; /* of snapshots and ingests */
	const char *ns, *snapshotter, *key; /* in the arena; snapshotter only of snapshots */
	struct gc_edge *edges;
	struct gc_node *next_todo;
};

/* An edge to a snapshot that counts when the snapshot was used lately, or not. */
struct gc_condition {
	struct gc_node *from, *snapshot;
	bool younger; /* than the age, else older */
	int64_t age_ns;
	struct gc_condition *next;
};

struct gc_use {
	struct gc_node *snapshot;
	struct timestamp at;
	struct gc_use *next;
};

struct gc_graph {
	struct arena *arena;
	struct map nodes;     /* by gc_key() */
	struct gc_node **all; /* those that exist, in the order found */
	size_t n, cap;
	struct gc_condition *conditions;
	struct gc_use *uses;
};

struct gc_graph *gc_graph_new(void);
void gc_graph_free(struct gc_graph *g);
DEFINE_AUTOPTR(gc_graph, gc_graph_free);

/* The name of an object among all of them; caller frees. */
char *gc_key(enum gc_type type, const char *ns, const char *snapshotter, const char *key);
/* Made when it is not there. */
struct gc_node *gc_graph_node(struct gc_graph *g, enum gc_type type, const char *ns,
	const char *snapshotter, const char *key);
/* The same for a row. */
struct gc_node *gc_graph_row(struct gc_graph *g, enum gc_type type, const char *ns,
	const char *snapshotter, const char *key);
void gc_graph_edge(struct gc_graph *g, struct gc_node *from, struct gc_node *to, bool structural);
/* The edges that the labels of a row make; *ret_root: one of them makes it a root. */
void gc_graph_labels(
	struct gc_graph *g, struct gc_node *node, const struct strmap *labels, bool *ret_root);
/* Once all rows are in: the edges whose conditions hold. */
void gc_graph_settle(struct gc_graph *g, struct timestamp now);

/* Mark the node and all it leads to; with `flat` only along structural edges. */
void gc_graph_mark(struct gc_node *node, bool flat);
static inline bool gc_node_kept(const struct gc_node *n)
{
	return n->marked || n->marked_flat;
}

/* What a label refers to. */
struct gc_reference {
	enum gc_type type;
	char *snapshotter; /* of a snapshot; owned */
	const char *key;   /* points into the value */
	bool back;	   /* the object named keeps the one that has the label */
	bool condition;
	bool younger;
	int64_t age_ns;
};

void gc_reference_done(struct gc_reference *r);
DEFINE_AUTOVAL(gc_reference, gc_reference_done);
/* False when the label is none that refers to anything. A label of several conditions has a
 * reference for each: `nth` counts them from 0. */
bool gc_reference_parse(const char *label, const char *value, size_t nth, struct gc_reference *ret);
