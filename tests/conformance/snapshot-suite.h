// SPDX-License-Identifier: Apache-2.0
/* What the tests of all drivers and those of single ones share. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "snapshot/driver.h"

#define OK(expr)                                                                                   \
	do {                                                                                       \
		autoptr(err) ok_err_ = (expr);                                                     \
		if (ok_err_)                                                                       \
			fail_msg("%s", err_message(ok_err_));                                      \
	} while (0)

struct fixture {
	char *root;
	struct snapshot_driver *driver;
};

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int set_up(void **state);
int tear_down(void **state);
struct snapshot_driver *driver_of(void **state);

extern char *target; /* where snapshots are mounted */

#define CHAIN_MAX 8

/* A snapshot over those whose ids follow, nearest first, ended by 0. */
struct chain {
	struct snapshot_chain c;
	uint64_t parents[CHAIN_MAX];
};

#define PARENTS(...) ((const uint64_t[]){__VA_ARGS__, 0})
#define ALONE NULL

struct snapshot_chain *chain(
	struct chain *c, enum snapshot_kind snapshot_kind, uint64_t id, const uint64_t *parents);
void create(struct snapshot_driver *d, enum snapshot_kind snapshot_kind, uint64_t id,
	const uint64_t *parents);
void attach(struct snapshot_driver *d, enum snapshot_kind snapshot_kind, uint64_t id,
	const uint64_t *parents);
void detach(void);
void commit(struct snapshot_driver *d, uint64_t id, const uint64_t *parents);
/* Files below the target. */
void put(const char *name, const char *text);
void drop(const char *name);
bool writable(void);
/* One committed layer with a file of its name. */
void layer(struct snapshot_driver *d, uint64_t id, const uint64_t *parents, const char *name);

/* For snapshot_driver_walk(). */
struct ids {
	uint64_t items[16];
	size_t n;
};
struct err *collect(uint64_t id, void *arg);

/* snapshot-drivers.c: what only one driver has. The number of tests that failed. */
int run_overlay_tests(void);
int run_btrfs_tests(void);
int run_blockfile_tests(void);
