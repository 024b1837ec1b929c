// SPDX-License-Identifier: Apache-2.0
/* What may be done to a process in which state: containerd's rules and words, as a table. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum state {
	STATE_CREATED,
	STATE_RESTORABLE, /* created from a checkpoint, started by restoring it */
	STATE_RUNNING,
	STATE_PAUSED,
	STATE_STOPPED,
	STATE_DELETED,
	STATE_COUNT
};

enum action {
	ACTION_START,
	ACTION_DELETE,
	ACTION_PAUSE,
	ACTION_RESUME,
	ACTION_UPDATE,
	ACTION_CHECKPOINT,
	ACTION_EXEC,
	ACTION_KILL,
	ACTION_RESIZE,
	ACTION_COUNT
};

/* NULL when the action is allowed. */
CHECKED struct err *state_check(enum state state, enum action action, bool is_init);
