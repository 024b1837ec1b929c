// SPDX-License-Identifier: Apache-2.0
#include "shim/state.h"

#include <stddef.h>

/* NULL: allowed. */
static const char *const init_rules[STATE_COUNT][ACTION_COUNT] = {
	[STATE_CREATED] =
		{
			[ACTION_PAUSE] = "cannot pause task in created state",
			[ACTION_RESUME] = "cannot resume task in created state",
			[ACTION_CHECKPOINT] = "cannot checkpoint a task in created state",
		},
	[STATE_RESTORABLE] =
		{
			[ACTION_PAUSE] = "cannot pause task in created state",
			[ACTION_RESUME] = "cannot resume task in created state",
			[ACTION_CHECKPOINT] = "cannot checkpoint a task in created state",
			[ACTION_EXEC] = "cannot exec in a created state",
		},
	[STATE_RUNNING] =
		{
			[ACTION_START] = "cannot start a running process",
			[ACTION_DELETE] = "cannot delete a running process",
			[ACTION_RESUME] = "cannot resume a running process",
		},
	[STATE_PAUSED] =
		{
			[ACTION_START] = "cannot start a paused process",
			[ACTION_DELETE] = "cannot delete a paused process",
			[ACTION_PAUSE] = "cannot pause a paused container",
			[ACTION_EXEC] = "cannot exec in a paused state",
		},
	[STATE_STOPPED] =
		{
			[ACTION_START] = "cannot start a stopped process",
			[ACTION_PAUSE] = "cannot pause a stopped container",
			[ACTION_RESUME] = "cannot resume a stopped container",
			[ACTION_UPDATE] = "cannot update a stopped container",
			[ACTION_CHECKPOINT] = "cannot checkpoint a stopped container",
			[ACTION_EXEC] = "cannot exec in a stopped state",
		},
	[STATE_DELETED] =
		{
			[ACTION_START] = "cannot start a deleted process",
			[ACTION_DELETE] = "cannot delete a deleted process: not found",
			[ACTION_PAUSE] = "cannot pause a deleted process",
			[ACTION_RESUME] = "cannot resume a deleted process",
			[ACTION_UPDATE] = "cannot update a deleted process",
			[ACTION_CHECKPOINT] = "cannot checkpoint a deleted process",
			[ACTION_EXEC] = "cannot exec in a deleted state",
			[ACTION_KILL] = "cannot kill a deleted process: not found",
			[ACTION_RESIZE] = "cannot resize a deleted process",
		},
};

/* Where processes added by Exec differ: they are not paused by themselves, and have a terminal of
 * their own. */
static const char *const exec_resize_stopped = "cannot resize a stopped container";

struct err *state_check(enum state state, enum action action, bool is_init)
{
	const char *text = init_rules[state][action];
	bool gone = state == STATE_DELETED && (action == ACTION_DELETE || action == ACTION_KILL);

	if (!is_init && state == STATE_STOPPED && action == ACTION_RESIZE)
		text = exec_resize_stopped;
	if (!text)
		return NULL;
	return err_new(gone ? ERR_NOT_FOUND : ERR_UNKNOWN, "%s", text);
}
