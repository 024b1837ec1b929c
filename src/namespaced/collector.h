// SPDX-License-Identifier: Apache-2.0
/*
 * The garbage collector: when to collect (containerd's scheduler and its thresholds), then rows,
 * then files. Idle it holds no timer.
 */
#pragma once

#include "base/thread.h"
#include "namespaced/content.h"
#include "namespaced/snapshots.h"

struct collector;

struct collector_options {	/* [plugins."io.containerd.gc.v1.scheduler"] */
	double pause_threshold; /* 0.02 */
	int64_t deletion_threshold, mutation_threshold; /* 0, 100 */
	int64_t schedule_delay_ms, startup_delay_ms;	/* 0, 100 */
};

CHECKED struct err *collector_new(struct meta *meta, struct content_store *store,
	struct snapshots *snapshots, const struct collector_options *options,
	struct collector **ret);
void collector_free(struct collector *c); /* waits for a collection under way */
DEFINE_AUTOPTR(collector, collector_free);
/* Something changed: looks at gc_pressure() and schedules. Cheap; any thread. */
void collector_poke(struct collector *c);
/* Collect now and wait for it: what a synchronous delete does. */
CHECKED struct err *collector_run(struct collector *c, struct cancel *cancel);
