// SPDX-License-Identifier: Apache-2.0
/* Values as ctr shows them. */
#pragma once

#include <containerd/client.h>
#include <stdint.h>

#include "base/json.h"
#include "base/strmap.h"
#include "base/strv.h"

#define SIZE_TEXT 32
#define AGE_TEXT 32
#define TIME_TEXT 64

/* "1.9 MiB" */
void format_bytes(int64_t n, char ret[static SIZE_TEXT]);
/* "2.219MB" */
void format_human_size(int64_t n, char ret[static SIZE_TEXT]);
/* "About an hour", of the time since then. */
void format_age(struct ctd_time since, char ret[static AGE_TEXT]);
/* RFC 3339 in UTC, as in JSON. */
void format_time(struct ctd_time t, char ret[static TIME_TEXT]);
/* "2022-05-01 12:00:00.123 +0000 UTC" */
void format_time_go(struct ctd_time t, char ret[static TIME_TEXT]);
/* RFC 3339 in local time, whole seconds. */
void format_time_local(struct ctd_time t, char ret[static TIME_TEXT]);
/* "a=b,c=d", or "-" for none; caller frees. */
char *format_labels(struct ctd_labels labels);
char *format_strings(struct ctd_strings strings, const char *separator);

/* JSON with four spaces a level, as Go prints it, and a newline. */
void print_json(struct json_object *o);
struct json_object *json_labels(struct ctd_labels labels);
struct json_object *json_time(struct ctd_time t);
/* {} for NULL and for what is no JSON. */
struct json_object *json_document(const char *text);

/* "key=value" or "key" for "key=true", as flags and arguments have them. */
struct label_args {
	struct strmap map;
	struct ctd_label *items;
};
void label_args_done(struct label_args *l);
DEFINE_AUTOVAL(label_args, label_args_done);
/* Valid as long as l. */
struct ctd_labels label_args_read(
	struct label_args *l, char *const *texts, const char *value_of_bare);
