// SPDX-License-Identifier: Apache-2.0
/* Intrusive doubly linked list; the head is a node of its own. Elements are owned by whoever the
 * declaration of the head says. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/auto.h"

struct list {
	struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_append(struct list *head, struct list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

#define list_first(head, T, member) container_of((head)->next, T, member)
/* Visits each element as `T *it`; the body may remove it, but no other. */
#define list_each(T, it, head, member)                                                             \
	for (T *it = list_first(head, T, member),                                                  \
	       *it##_next_ = list_first(&it->member, T, member);                                   \
		&it->member != (head);                                                             \
		it = it##_next_, it##_next_ = list_first(&it->member, T, member))
