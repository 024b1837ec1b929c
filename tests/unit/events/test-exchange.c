// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "events/exchange.h"

/* A subscriber that writes down what it gets, up to a number of events. */
struct reader {
	struct buf seen;
	int capacity;
};

static bool note(void *arg, const struct event *e)
{
	struct reader *r = arg;

	if (r->capacity-- == 0)
		return false;
	assert_true(buf_printf(&r->seen, "%s%s ", e->ns, e->topic));
	return true;
}

static const struct any payload = {.type_url = (char *)"t", .value = (uint8_t *)"v", .len = 1};

static void publish(struct exchange *x, const char *ns, const char *topic)
{
	struct err *e = exchange_publish(x, ns, topic, &payload);

	assert_string_equal(err_message(e), "");
}

static void test_filters(void **state)
{
	static const struct {
		const char *filter, *seen;
	} cases[] = {
		{NULL, "a/tasks/exit b/tasks/start b/images/create "},
		{"namespace==b", "b/tasks/start b/images/create "},
		{"topic==\"/tasks/exit\"", "a/tasks/exit "},
		{"topic~=\"^/tasks/\",namespace==b", "b/tasks/start "},
		{"event.id==x", ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoptr(exchange) x = exchange_new();
		struct reader r = {BUF_INIT(4096), -1};
		char *filters[] = {(char *)cases[i].filter};
		struct subscription *s;

		assert_null(exchange_subscribe(x, filters, cases[i].filter ? 1 : 0, note, &r, &s));
		publish(x, "a", "/tasks/exit");
		publish(x, "b", "/tasks/start");
		publish(x, "b", "/images/create");
		subscription_end(s);
		publish(x, "b", "/images/update");
		assert_string_equal(buf_str(&r.seen), cases[i].seen);
		buf_done(&r.seen);
	}
}

static const char *name_field(
	const struct any *p, char *const *path, size_t n, char *scratch, size_t scratch_len)
{
	return n == 1 && strcmp(path[0], "name") == 0 ? (const char *)p->type_url : NULL;
}

static void test_fields_of_the_payload(void **state)
{
	autoptr(exchange) x = exchange_new();
	struct reader r = {BUF_INIT(4096), -1};
	char *filters[] = {(char *)"event.name==t"};
	struct subscription *s;

	exchange_set_fields(x, name_field);
	assert_null(exchange_subscribe(x, filters, 1, note, &r, &s));
	publish(x, "a", "/x");
	assert_string_equal(buf_str(&r.seen), "a/x ");
	buf_done(&r.seen);
}

static void test_a_reader_that_is_full_is_dropped_alone(void **state)
{
	autoptr(exchange) x = exchange_new();
	struct reader full = {BUF_INIT(4096), 1}, other = {BUF_INIT(4096), -1};
	struct subscription *a, *b;

	assert_null(exchange_subscribe(x, NULL, 0, note, &full, &a));
	assert_null(exchange_subscribe(x, NULL, 0, note, &other, &b));
	publish(x, "n", "/1");
	publish(x, "n", "/2");
	publish(x, "n", "/3");
	assert_string_equal(buf_str(&full.seen), "n/1 ");
	assert_string_equal(buf_str(&other.seen), "n/1 n/2 n/3 ");
	buf_done(&full.seen);
	buf_done(&other.seen);
}

static void test_what_is_refused(void **state)
{
	static const struct {
		const char *ns, *topic;
		enum err_class class;
	} cases[] = {
		{NULL, "/a", ERR_PRECONDITION},
		{"", "/a", ERR_PRECONDITION},
		{"a b", "/a", ERR_INVALID},
		{"n", "", ERR_INVALID},
		{"n", "a", ERR_INVALID},
		{"n", "/", ERR_INVALID},
		{"n", "/a//b", ERR_INVALID},
		{"n", "/a/", ERR_INVALID},
		{"n", "/a b", ERR_INVALID},
	};
	autoptr(exchange) x = exchange_new();
	autoptr(err) no_time = NULL;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoptr(err) e = exchange_publish(x, cases[i].ns, cases[i].topic, &payload);

		assert_int_equal(err_class(e), cases[i].class);
	}
	no_time = exchange_forward(x, (struct timestamp){0}, "n", "/a", &payload);
	assert_true(err_is(no_time, ERR_INVALID));
}

static void *publish_many(void *arg)
{
	for (int i = 0; i < 2000; i++)
		publish(arg, "n", "/a");
	return NULL;
}

/* Subscriptions that come and go while others publish: no delivery after the end. */
static bool count(void *arg, const struct event *e)
{
	int *n = arg;

	assert_true(*n >= 0);
	(*n)++;
	return true;
}

static void test_end_waits_for_deliveries(void **state)
{
	autoptr(exchange) x = exchange_new();
	pthread_t threads[2];

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, publish_many, x), 0);
	for (int i = 0; i < 500; i++) {
		int n = 0;
		struct subscription *s;

		assert_null(exchange_subscribe(x, NULL, 0, count, &n, &s));
		subscription_end(s);
		n = -1;
	}
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_fields_of_the_payload),
		cmocka_unit_test(test_a_reader_that_is_full_is_dropped_alone),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_end_waits_for_deliveries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
