// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shim/state.h"

/* One letter a state: Created, Restorable, Running, Paused, Stopped, Deleted. */
static const enum state states[] = {
	STATE_CREATED, STATE_RESTORABLE, STATE_RUNNING, STATE_PAUSED, STATE_STOPPED, STATE_DELETED};

static const struct {
	enum action action;
	const char *allowed; /* y or n for each state */
} rules[] = {
	{ACTION_START, "yynnnn"},
	{ACTION_DELETE, "yynnyn"},
	{ACTION_PAUSE, "nnynnn"},
	{ACTION_RESUME, "nnnynn"},
	{ACTION_UPDATE, "yyyynn"},
	{ACTION_CHECKPOINT, "nnyynn"},
	{ACTION_EXEC, "ynynnn"},
	{ACTION_KILL, "yyyyyn"},
	{ACTION_RESIZE, "yyyyyn"},
};

static void test_rules(void **fixture)
{
	(void)fixture;
	assert_int_equal(ARRAY_LEN(rules), ACTION_COUNT);
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		for (size_t j = 0; j < ARRAY_LEN(states); j++) {
			autoptr(err) e = state_check(states[j], rules[i].action, true);

			if ((e == NULL) != (rules[i].allowed[j] == 'y'))
				fail_msg("action %d in state %d: %s", rules[i].action, states[j],
					err_message(e));
		}
	}
}

static const struct {
	enum state state;
	enum action action;
	bool is_init;
	enum err_class class;
	const char *text;
} words[] = {
	{STATE_RUNNING, ACTION_DELETE, true, ERR_UNKNOWN, "cannot delete a running process"},
	{STATE_STOPPED, ACTION_START, true, ERR_UNKNOWN, "cannot start a stopped process"},
	{STATE_STOPPED, ACTION_EXEC, true, ERR_UNKNOWN, "cannot exec in a stopped state"},
	{STATE_PAUSED, ACTION_EXEC, true, ERR_UNKNOWN, "cannot exec in a paused state"},
	{STATE_CREATED, ACTION_PAUSE, true, ERR_UNKNOWN, "cannot pause task in created state"},
	{STATE_DELETED, ACTION_DELETE, true, ERR_NOT_FOUND,
		"cannot delete a deleted process: not found"},
	{STATE_DELETED, ACTION_KILL, false, ERR_NOT_FOUND,
		"cannot kill a deleted process: not found"},
	{STATE_STOPPED, ACTION_RESIZE, false, ERR_UNKNOWN, "cannot resize a stopped container"},
};

static void test_words(void **fixture)
{
	(void)fixture;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		autoptr(err) e = state_check(words[i].state, words[i].action, words[i].is_init);

		assert_non_null(e);
		assert_int_equal(err_class(e), words[i].class);
		assert_string_equal(err_message(e), words[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
