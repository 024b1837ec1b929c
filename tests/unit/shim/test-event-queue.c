// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "shim/event-queue.h"

static void push(struct event_queue *q, const char *subject, const char *body)
{
	event_queue_push(q, "/tasks/x", subject, body, __builtin_strlen(body));
}

/* The bodies in order, each one letter. */
static void assert_bodies(struct event_queue *q, const char *expected)
{
	for (; *expected; expected++) {
		struct queued_event *e = event_queue_first(q);

		assert_non_null(e);
		assert_int_equal(e->len, 1);
		assert_int_equal(e->body[0], *expected);
		event_queue_pop(q);
	}
	assert_null(event_queue_first(q));
}

static void test_order(void **fixture)
{
	struct event_queue q;

	(void)fixture;
	event_queue_init(&q, 10);
	push(&q, "a", "1");
	push(&q, "b", "2");
	push(&q, "a", "3");
	assert_int_equal(q.n, 3);
	assert_bodies(&q, "123");
	event_queue_done(&q);
}

static void test_superseded_go_first(void **fixture)
{
	struct event_queue q;

	(void)fixture;
	event_queue_init(&q, 4);
	push(&q, "wire", "0"); /* the first is never dropped: it may be on its way */
	push(&q, "a", "1");
	push(&q, "b", "2");
	push(&q, "a", "3");
	push(&q, "c", "4");    /* drops 1, which 3 supersedes */
	push(&q, "wire", "5"); /* nothing to drop: grows by one process */
	assert_int_equal(q.dropped, 1);
	assert_bodies(&q, "02345");
	event_queue_done(&q);
}

static void test_last_word_of_each_stays(void **fixture)
{
	struct event_queue q;
	bool seen[300] = {false};

	(void)fixture;
	event_queue_init(&q, 64);
	for (int i = 0; i < 300; i++) {
		char subject[16];

		snprintf(subject, sizeof(subject), "p%d", i);
		push(&q, subject, "s");
		push(&q, subject, "e");
	}
	for (struct queued_event *e; (e = event_queue_first(&q)); event_queue_pop(&q)) {
		int i;

		assert_int_equal(sscanf(e->subject, "p%d", &i), 1);
		if (e->body[0] == 'e')
			seen[i] = true;
	}
	for (int i = 0; i < 300; i++)
		assert_true(seen[i]);
	event_queue_done(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_superseded_go_first),
		cmocka_unit_test(test_last_word_of_each_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
