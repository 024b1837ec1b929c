// SPDX-License-Identifier: Apache-2.0
/* buf, map, strmap, strv, arena. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/strmap.h"
#include "base/strv.h"

static void test_buf_grows_to_its_maximum(void **state)
{
	autoval(buf) b = BUF_INIT(100);
	char block[60] = {0};

	assert_string_equal(buf_str(&b), "");
	assert_true(buf_append(&b, "abc", 3));
	assert_true(buf_printf(&b, "%d-%s", 42, "x"));
	assert_string_equal(buf_str(&b), "abc42-x");
	assert_true(buf_append(&b, block, sizeof(block)));
	assert_false(buf_append(&b, block, sizeof(block)));
	assert_false(buf_printf(&b, "%60s", "x"));
	assert_int_equal(b.len, 67);
	assert_true(buf_append(&b, block, 33));
	assert_false(buf_append(&b, "x", 1));
	assert_true(buf_append(&b, NULL, 0));
	assert_false(buf_reserve(&b, SIZE_MAX));
}

static void test_buf_consume_and_take(void **state)
{
	autoval(buf) b = BUF_INIT(1000);
	autofree char *text = NULL, *empty = NULL;
	size_t len = 7;

	empty = buf_take(&b, &len);
	assert_int_equal(len, 0);
	assert_string_equal(empty, "");
	assert_true(buf_append(&b, "hello world", 11));
	buf_consume(&b, 6);
	assert_string_equal(buf_str(&b), "world");
	buf_consume(&b, 100);
	assert_string_equal(buf_str(&b), "");
	assert_true(buf_append(&b, "again", 5));
	buf_reset(&b);
	assert_string_equal(buf_str(&b), "");
	assert_true(buf_reserve(&b, 3));
	memcpy(b.data + b.len, "xyz", 4);
	b.len += 3;
	text = buf_take(&b, NULL);
	assert_string_equal(text, "xyz");
	assert_int_equal(b.len, 0);
}

static void test_map_against_a_model(void **state)
{
	struct map m = MAP_INIT;
	static int values[500];
	bool there[500] = {false};
	size_t n = 0;
	unsigned seed = 12345;

	for (int i = 0; i < 20000; i++) {
		char key[16];
		size_t k = (seed = seed * 1103515245 + 12345) / 65536 % 500;
		bool set = (seed & 0x8000) != 0;

		snprintf(key, sizeof(key), "key%zu", k);
		assert_ptr_equal(map_get(&m, key), there[k] ? &values[k] : NULL);
		if (set)
			assert_ptr_equal(
				map_set(&m, key, &values[k]), there[k] ? &values[k] : NULL);
		else
			assert_ptr_equal(map_del(&m, key), there[k] ? &values[k] : NULL);
		n = n + (set && !there[k]) - (!set && there[k]);
		there[k] = set;
		assert_int_equal(m.n, n);
	}
	map_done(&m, NULL);
}

static void test_map_visits_each_once(void **state)
{
	struct map m = MAP_INIT;
	const char *key;
	void *value;
	int seen[100] = {0};
	size_t at = 0;

	for (int i = 0; i < 100; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%d", i);
		map_set(&m, text, xasprintf("%d", i));
	}
	while (map_next(&m, &at, &key, &value)) {
		assert_string_equal(key, value);
		seen[atol(key)]++;
	}
	for (int i = 0; i < 100; i++)
		assert_int_equal(seen[i], 1);
	map_done(&m, free);
}

static void test_strmap_is_sorted(void **state)
{
	static const char *const keys[] = {"m", "a", "z", "ab", "", "m", "a.b"};
	autoval(strmap) m = STRMAP_INIT, copy = STRMAP_INIT;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		char value[8];

		snprintf(value, sizeof(value), "%zu", i);
		strmap_set(&m, keys[i], value);
	}
	assert_int_equal(m.n, 6);
	for (size_t i = 1; i < m.n; i++)
		assert_true(strcmp(m.entries[i - 1].key, m.entries[i].key) < 0);
	assert_string_equal(strmap_get(&m, "m"), "5");
	assert_null(strmap_get(&m, "mm"));
	strmap_set(&copy, "other", "x");
	strmap_copy(&copy, &m);
	assert_true(strmap_equal(&copy, &m));
	assert_true(strmap_del(&copy, "ab"));
	assert_false(strmap_del(&copy, "ab"));
	assert_false(strmap_equal(&copy, &m));
	strmap_set(&copy, "ac", "3");
	assert_false(strmap_equal(&copy, &m));
}

static void test_strv(void **state)
{
	autoval(strv) v = STRV_INIT, all = STRV_INIT, none = STRV_INIT;
	autofree char *joined = NULL, *empty = NULL;

	strv_split(&none, "", ',');
	assert_int_equal(none.n, 0);
	assert_null(strv_argv(&none)[0]);
	strv_split(&v, "b,,a", ',');
	assert_int_equal(v.n, 3);
	assert_string_equal(v.items[1], "");
	strv_addf(&v, "%d", 7);
	strv_add_take(&v, xstrdup("x"));
	assert_null(v.items[v.n]);
	assert_true(strv_has(&v, "7"));
	strv_remove_at(&v, 1);
	strv_sort(&v);
	joined = strv_join(&v, "+");
	assert_string_equal(joined, "7+a+b+x");
	strv_add_all(&all, &v);
	strv_add_all(&all, &v);
	assert_int_equal(all.n, 8);
	empty = strv_join(&none, ",");
	assert_string_equal(empty, "");
	assert_true(str_ends("a.json", ".json"));
	assert_false(str_ends("n", "json"));
}

static void test_arena(void **state)
{
	autoptr(arena) a = arena_new();
	char *big = arena_alloc(a, 1000000), *text = arena_strdup(a, "text");

	memset(big, 'x', 1000000);
	for (size_t i = 1; i < 3000; i++) {
		unsigned char *p = arena_alloc(a, i);

		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		for (size_t k = 0; k < i; k++)
			assert_int_equal(p[k], 0);
		memset(p, 'y', i);
	}
	assert_string_equal(text, "text");
	assert_null(arena_strdup(a, NULL));
	assert_string_equal(arena_printf(a, "%d%s", 1, "a"), "1a");
	assert_string_equal(arena_strndup(a, "abcdef", 3), "abc");
	assert_true(arena_used(a) > 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf_grows_to_its_maximum),
		cmocka_unit_test(test_buf_consume_and_take),
		cmocka_unit_test(test_map_against_a_model),
		cmocka_unit_test(test_map_visits_each_once),
		cmocka_unit_test(test_strmap_is_sorted),
		cmocka_unit_test(test_strv),
		cmocka_unit_test(test_arena),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
