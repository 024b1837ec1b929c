// SPDX-License-Identifier: Apache-2.0
/*
 * Columns that line up, as Go's text/tabwriter lays them out: cells end with a tab, what stands
 * behind the last tab of a line is no cell, and a column is as wide as its widest cell among
 * neighbouring lines that have it.
 */
#pragma once

#include <stdio.h>

#include "base/auto.h"

struct table;

/* Least width and padding of a column; padding with tabs makes widths multiples of tab_width. */
struct table *table_new(size_t min_width, size_t tab_width, size_t padding, char pad);
void table_free(struct table *t);
DEFINE_AUTOPTR(table, table_free);
void table_add(struct table *t, const char *text);
void table_addf(struct table *t, const char *fmt, ...) PRINTF(2, 3);
void table_print(struct table *t, FILE *out);
