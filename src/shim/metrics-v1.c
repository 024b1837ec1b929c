// SPDX-License-Identifier: Apache-2.0
#include "shim/metrics.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"
#include "proto/cgroup1.pb-c.h"
#include "rpc/message.h"

#define ROWS_MAX 4096
#define NS_PER_SECOND 1000000000u

struct key {
	const char *name; /* of the line in the kernel's file */
	size_t offset;
};

#define MEMORY(line, n) line, offsetof(Cg1__MemoryStat, n)
#define SAME(n) MEMORY(#n, n)
static const struct key memory_keys[] = {{SAME(cache)}, {SAME(rss)}, {SAME(rss_huge)},
	{SAME(mapped_file)}, {SAME(dirty)}, {SAME(writeback)}, {MEMORY("pgpgin", pg_pg_in)},
	{MEMORY("pgpgout", pg_pg_out)}, {MEMORY("pgfault", pg_fault)},
	{MEMORY("pgmajfault", pg_maj_fault)}, {SAME(inactive_anon)}, {SAME(active_anon)},
	{SAME(inactive_file)}, {SAME(active_file)}, {SAME(unevictable)},
	{SAME(hierarchical_memory_limit)},
	{MEMORY("hierarchical_memsw_limit", hierarchical_swap_limit)}, {SAME(total_cache)},
	{SAME(total_rss)}, {SAME(total_rss_huge)}, {SAME(total_mapped_file)}, {SAME(total_dirty)},
	{SAME(total_writeback)}, {MEMORY("total_pgpgin", total_pg_pg_in)},
	{MEMORY("total_pgpgout", total_pg_pg_out)}, {MEMORY("total_pgfault", total_pg_fault)},
	{MEMORY("total_pgmajfault", total_pg_maj_fault)}, {SAME(total_inactive_anon)},
	{SAME(total_active_anon)}, {SAME(total_inactive_file)}, {SAME(total_active_file)},
	{SAME(total_unevictable)}};

static const char *next_line(const char *line)
{
	line = strchr(line, '\n');
	return line ? line + 1 : "";
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; text && *text; text++)
		n += *text == '\n';
	return MIN(n, (size_t)ROWS_MAX);
}

static Cg1__MemoryEntry *memory_entry(const char *dir, const char *module, struct arena *a)
{
	Cg1__MemoryEntry *e = ARENA_NEW(a, Cg1__MemoryEntry);

	cg1__memory_entry__init(e);
	e->usage = cgroup_number(dir, arena_printf(a, "memory.%susage_in_bytes", module));
	e->max = cgroup_number(dir, arena_printf(a, "memory.%smax_usage_in_bytes", module));
	e->failcnt = cgroup_number(dir, arena_printf(a, "memory.%sfailcnt", module));
	e->limit = cgroup_number(dir, arena_printf(a, "memory.%slimit_in_bytes", module));
	return e;
}

static void add_memory(Cg1__Metrics *m, const char *dir, struct arena *a)
{
	autofree char *text = dir ? cgroup_text(dir, "memory.stat") : NULL;
	autofree char *oom = dir ? cgroup_text(dir, "memory.oom_control") : NULL;

	if (!text)
		return;
	m->memory = ARENA_NEW(a, Cg1__MemoryStat);
	cg1__memory_stat__init(m->memory);
	for (size_t i = 0; i < ARRAY_LEN(memory_keys); i++)
		*(uint64_t *)((char *)m->memory + memory_keys[i].offset) =
			cgroup_value(text, memory_keys[i].name);
	m->memory->usage = memory_entry(dir, "", a);
	m->memory->swap = memory_entry(dir, "memsw.", a);
	m->memory->kernel = memory_entry(dir, "kmem.", a);
	m->memory->kernel_tcp = memory_entry(dir, "kmem.tcp.", a);
	m->memory_oom_control = ARENA_NEW(a, Cg1__MemoryOomControl);
	cg1__memory_oom_control__init(m->memory_oom_control);
	m->memory_oom_control->oom_kill_disable = cgroup_value(oom, "oom_kill_disable");
	m->memory_oom_control->under_oom = cgroup_value(oom, "under_oom");
	m->memory_oom_control->oom_kill = cgroup_value(oom, "oom_kill");
}

static void add_per_cpu(Cg1__CPUUsage *u, const char *dir, struct arena *a)
{
	autofree char *text = cgroup_text(dir, "cpuacct.usage_percpu");
	const char *at = text ? text : "";

	u->per_cpu = arena_array(a, ROWS_MAX, sizeof(uint64_t));
	while (u->n_per_cpu < ROWS_MAX) {
		char *end;
		uint64_t value = strtoull(at, &end, 10);

		if (end == at)
			return;
		u->per_cpu[u->n_per_cpu++] = value;
		at = end;
	}
}

static void add_cpu(Cg1__Metrics *m, const char *cpu, const char *cpuacct, struct arena *a)
{
	autofree char *usage = cpuacct ? cgroup_text(cpuacct, "cpuacct.stat") : NULL;
	autofree char *quota = cpu ? cgroup_text(cpu, "cpu.stat") : NULL;
	uint64_t tick = NS_PER_SECOND / (uint64_t)sysconf(_SC_CLK_TCK);

	m->cpu = ARENA_NEW(a, Cg1__CPUStat);
	cg1__cpustat__init(m->cpu);
	m->cpu->usage = ARENA_NEW(a, Cg1__CPUUsage);
	cg1__cpuusage__init(m->cpu->usage);
	m->cpu->throttling = ARENA_NEW(a, Cg1__Throttle);
	cg1__throttle__init(m->cpu->throttling);
	if (usage) {
		m->cpu->usage->total = cgroup_number(cpuacct, "cpuacct.usage");
		m->cpu->usage->user = cgroup_value(usage, "user") * tick;
		m->cpu->usage->kernel = cgroup_value(usage, "system") * tick;
		add_per_cpu(m->cpu->usage, cpuacct, a);
	}
	m->cpu->throttling->periods = cgroup_value(quota, "nr_periods");
	m->cpu->throttling->throttled_periods = cgroup_value(quota, "nr_throttled");
	m->cpu->throttling->throttled_time = cgroup_value(quota, "throttled_time");
}

static void add_pids(Cg1__Metrics *m, const char *dir, struct arena *a)
{
	if (!dir)
		return;
	m->pids = ARENA_NEW(a, Cg1__PidsStat);
	cg1__pids_stat__init(m->pids);
	m->pids->current = cgroup_number(dir, "pids.current");
	m->pids->limit = cgroup_number(dir, "pids.max");
	if (m->pids->limit == UINT64_MAX) /* no limit is 0 here, other than in version 2 */
		m->pids->limit = 0;
}

/* "8:0 Read 4096", or "8:0 12" */
static Cg1__BlkIOEntry *block_entry(const char *line, struct arena *a)
{
	Cg1__BlkIOEntry *e = ARENA_NEW(a, Cg1__BlkIOEntry);
	char *end;
	size_t len;

	cg1__blk_ioentry__init(e);
	e->major = strtoull(line, &end, 10);
	if (*end != ':')
		return NULL;
	e->minor = strtoull(end + 1, &end, 10);
	if (*end++ != ' ')
		return NULL;
	len = strcspn(end, " \n");
	if (end[len] == ' ') {
		e->op = arena_strndup(a, end, len);
		end += len + 1;
	}
	e->value = strtoull(end, NULL, 10);
	return e;
}

static Cg1__BlkIOEntry **block_rows(const char *dir, const char *file, struct arena *a, size_t *ret)
{
	autofree char *text = cgroup_text(dir, file);
	size_t n = count_lines(text);
	Cg1__BlkIOEntry **rows = arena_array(a, n + 1, sizeof(Cg1__BlkIOEntry *));
	const char *line = n ? text : "";

	*ret = 0;
	for (size_t i = 0; i < n; i++, line = next_line(line)) {
		rows[*ret] = block_entry(line, a);
		*ret += rows[*ret] != NULL;
	}
	return rows;
}

static void add_block(Cg1__Metrics *m, const char *dir, struct arena *a)
{
	Cg1__BlkIOStat *b;

	if (!dir)
		return;
	b = m->blkio = ARENA_NEW(a, Cg1__BlkIOStat);
	cg1__blk_iostat__init(b);
#define ROWS(field, file) b->field = block_rows(dir, "blkio." file, a, &b->n_##field)
	ROWS(sectors_recursive, "sectors_recursive");
	ROWS(io_service_bytes_recursive, "io_service_bytes_recursive");
	ROWS(io_serviced_recursive, "io_serviced_recursive");
	ROWS(io_queued_recursive, "io_queued_recursive");
	ROWS(io_service_time_recursive, "io_service_time_recursive");
	ROWS(io_wait_time_recursive, "io_wait_time_recursive");
	ROWS(io_merged_recursive, "io_merged_recursive");
	ROWS(io_time_recursive, "time_recursive");
	if (b->n_io_serviced_recursive || b->n_io_service_bytes_recursive)
		return;
	/* No proportional scheduler: the throttling layer has counters too. */
	ROWS(io_serviced_recursive, "throttle.io_serviced");
	ROWS(io_service_bytes_recursive, "throttle.io_service_bytes");
#undef ROWS
}

static void add_hugetlb(Cg1__Metrics *m, const char *dir, struct arena *a)
{
	DIR *files = dir ? opendir(dir) : NULL;
	const size_t most = 16;

	if (!files)
		return;
	m->hugetlb = arena_array(a, most, sizeof(Cg1__HugetlbStat *));
	for (struct dirent *d; (d = readdir(files)) && m->n_hugetlb < most;) {
		const char *tail = ".usage_in_bytes";
		Cg1__HugetlbStat *h;

		if (!str_starts(d->d_name, "hugetlb.") || !str_ends(d->d_name, tail) ||
			strstr(d->d_name, ".rsvd."))
			continue;
		h = ARENA_NEW(a, Cg1__HugetlbStat);
		cg1__hugetlb_stat__init(h);
		h->pagesize = arena_strndup(a, d->d_name + 8, strlen(d->d_name) - 8 - strlen(tail));
		h->usage = cgroup_number(dir, d->d_name);
		h->max = cgroup_number(
			dir, arena_printf(a, "hugetlb.%s.max_usage_in_bytes", h->pagesize));
		h->failcnt = cgroup_number(dir, arena_printf(a, "hugetlb.%s.failcnt", h->pagesize));
		m->hugetlb[m->n_hugetlb++] = h;
	}
	closedir(files);
}

Google__Protobuf__Any *metrics_v1(const struct cgroup *c, struct arena *arena)
{
	Cg1__Metrics m = CG1__METRICS__INIT;

	add_hugetlb(&m, cgroup_dir(c, "hugetlb"), arena);
	add_pids(&m, cgroup_dir(c, "pids"), arena);
	add_cpu(&m, cgroup_dir(c, "cpu"), cgroup_dir(c, "cpuacct"), arena);
	add_memory(&m, cgroup_dir(c, "memory"), arena);
	add_block(&m, cgroup_dir(c, "blkio"), arena);
	return message_to_any(&m, arena);
}
