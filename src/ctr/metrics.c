// SPDX-License-Identifier: Apache-2.0
#include "ctr/metrics.h"

#include <string.h>

struct row {
	const char *name, *path;
	const char *group; /* shown only when this is there */
};

static const struct row rows_v1[] = {
	{"memory.usage_in_bytes", "memory.usage.usage", "memory"},
	{"memory.limit_in_bytes", "memory.usage.limit", "memory"},
	{"memory.stat.cache", "memory.total_cache", "memory"},
	{"cpuacct.usage", "cpu.usage.total", "cpu"},
	{"cpuacct.usage_percpu", "cpu.usage.per_cpu", "cpu"},
	{"pids.current", "pids.current", "pids"},
	{"pids.limit", "pids.limit", "pids"},
};

static const struct row rows_v2[] = {
	{"pids.current", "pids.current", "pids"},
	{"pids.limit", "pids.limit", "pids"},
	{"cpu.usage_usec", "cpu.usage_usec", "cpu"},
	{"cpu.user_usec", "cpu.user_usec", "cpu"},
	{"cpu.system_usec", "cpu.system_usec", "cpu"},
	{"cpu.nr_periods", "cpu.nr_periods", "cpu"},
	{"cpu.nr_throttled", "cpu.nr_throttled", "cpu"},
	{"cpu.throttled_usec", "cpu.throttled_usec", "cpu"},
	{"memory.usage", "memory.usage", "memory"},
	{"memory.usage_limit", "memory.usage_limit", "memory"},
	{"memory.swap_usage", "memory.swap_usage", "memory"},
	{"memory.swap_limit", "memory.swap_limit", "memory"},
};

static void add_row(struct table *t, const struct row *row, struct json_object *o)
{
	struct json_object *value = json_find(o, row->path);

	if (!json_find(o, row->group))
		return;
	table_addf(t, "%s\t", row->name);
	if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++)
			table_addf(t, "%s%s", i > 0 ? " " : "[",
				json_object_to_json_string(json_object_array_get_idx(value, i)));
		table_add(t, "]");
	} else {
		table_add(t, value ? json_object_to_json_string(value) : "0");
	}
	table_add(t, "\t\n");
}

void metrics_print(const struct ctd_metrics *m, struct json_object *o)
{
	bool is_v1 = strstr(m->type, ".v1.");
	const struct row *rows = is_v1 ? rows_v1 : rows_v2;
	size_t n = is_v1 ? ARRAY_LEN(rows_v1) : ARRAY_LEN(rows_v2);
	autoptr(table) t = table_new(1, 8, 4, ' ');
	char time[TIME_TEXT];

	format_time_go(m->timestamp, time);
	table_addf(t, "ID\tTIMESTAMP\t\n%s\t%s\t\n\nMETRIC\tVALUE\t\n", m->id, time);
	for (size_t i = 0; i < n; i++)
		add_row(t, &rows[i], o);
	table_print(t, stdout);
}
