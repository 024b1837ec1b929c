// SPDX-License-Identifier: Apache-2.0
/*
 * Structured log lines on stderr in containerd's text (logrus) or JSON form. Keys and values are
 * text, the list ends by itself:
 *     log_warn("shim gone", "id", id, "error", err_message(e));
 * Only mains, services and threads without a caller log above debug.
 */
#pragma once

#include <stdbool.h>

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_FATAL };
enum log_format { LOG_TEXT, LOG_JSON };

/* trace debug info warn(ing) error fatal panic; false for anything else. */
bool log_level_parse(const char *text, enum log_level *ret);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_format(enum log_format format);

/* Key and value alternate, both `const char *`; a NULL key ends the list. One write(2) a line. */
void log_write(enum log_level level, const char *message, ...) __attribute__((sentinel));

#define log_trace(...) log_write(LOG_TRACE, __VA_ARGS__, (char *)0)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__, (char *)0)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__, (char *)0)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__, (char *)0)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__, (char *)0)
