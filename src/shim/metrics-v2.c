// SPDX-License-Identifier: Apache-2.0
#include "shim/metrics.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"
#include "proto/cgroup2.pb-c.h"
#include "rpc/message.h"

#define ROWS_MAX 4096

struct key {
	const char *name;
	size_t offset;
};

/* The fields are named as the kernel names the lines. */
#define CPU(n) #n, offsetof(Cg2__CPUStat, n)
static const struct key cpu_keys[] = {{CPU(usage_usec)}, {CPU(user_usec)}, {CPU(system_usec)},
	{CPU(nr_periods)}, {CPU(nr_throttled)}, {CPU(throttled_usec)}, {CPU(nr_bursts)},
	{CPU(burst_usec)}};

#define MEMORY(n) #n, offsetof(Cg2__MemoryStat, n)
static const struct key memory_keys[] = {{MEMORY(anon)}, {MEMORY(file)}, {MEMORY(kernel_stack)},
	{MEMORY(slab)}, {MEMORY(sock)}, {MEMORY(shmem)}, {MEMORY(file_mapped)},
	{MEMORY(file_dirty)}, {MEMORY(file_writeback)}, {MEMORY(anon_thp)}, {MEMORY(inactive_anon)},
	{MEMORY(active_anon)}, {MEMORY(inactive_file)}, {MEMORY(active_file)},
	{MEMORY(unevictable)}, {MEMORY(slab_reclaimable)}, {MEMORY(slab_unreclaimable)},
	{MEMORY(pgfault)}, {MEMORY(pgmajfault)}, {MEMORY(workingset_refault)},
	{MEMORY(workingset_activate)}, {MEMORY(workingset_nodereclaim)}, {MEMORY(pgrefill)},
	{MEMORY(pgscan)}, {MEMORY(pgsteal)}, {MEMORY(pgactivate)}, {MEMORY(pgdeactivate)},
	{MEMORY(pglazyfree)}, {MEMORY(pglazyfreed)}, {MEMORY(thp_fault_alloc)},
	{MEMORY(thp_collapse_alloc)}};

#define EVENT(n) #n, offsetof(Cg2__MemoryEvents, n)
static const struct key event_keys[] = {{EVENT(low)}, {EVENT(high)}, {EVENT(max)}, {EVENT(oom)},
	{EVENT(oom_kill)}, {EVENT(oom_group_kill)}};

static void fill(void *message, const char *text, const struct key *keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*(uint64_t *)((char *)message + keys[i].offset) = cgroup_value(text, keys[i].name);
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" */
static Cg2__PSIData *pressure_line(const char *text, const char *which, struct arena *a)
{
	const char *line = text ? strstr(text, which) : NULL;
	Cg2__PSIData *d;
	char *end;

	if (!line)
		return NULL;
	d = ARENA_NEW(a, Cg2__PSIData);
	cg2__psidata__init(d);
	line += strlen(which);
	if (!str_starts(line, " avg10="))
		return d;
	d->avg10 = strtod(line + 7, &end);
	if (str_starts(end, " avg60="))
		d->avg60 = strtod(end + 7, &end);
	if (str_starts(end, " avg300="))
		d->avg300 = strtod(end + 8, &end);
	if (str_starts(end, " total="))
		d->total = strtoull(end + 7, NULL, 10);
	return d;
}

static Cg2__PSIStats *pressure(const char *dir, const char *file, struct arena *a)
{
	autofree char *text = cgroup_text(dir, file);
	Cg2__PSIStats *s;

	if (!text)
		return NULL;
	s = ARENA_NEW(a, Cg2__PSIStats);
	cg2__psistats__init(s);
	s->some = pressure_line(text, "some", a);
	s->full = pressure_line(text, "full", a);
	return s;
}

static void add_cpu(Cg2__Metrics *m, const char *dir, struct arena *a)
{
	autofree char *text = cgroup_text(dir, "cpu.stat");

	m->cpu = ARENA_NEW(a, Cg2__CPUStat);
	cg2__cpustat__init(m->cpu);
	fill(m->cpu, text, cpu_keys, ARRAY_LEN(cpu_keys));
	m->cpu->psi = pressure(dir, "cpu.pressure", a);
}

static void add_memory(Cg2__Metrics *m, const char *dir, struct arena *a)
{
	autofree char *text = cgroup_text(dir, "memory.stat");
	autofree char *events = cgroup_text(dir, "memory.events");

	m->memory = ARENA_NEW(a, Cg2__MemoryStat);
	cg2__memory_stat__init(m->memory);
	if (text) {
		fill(m->memory, text, memory_keys, ARRAY_LEN(memory_keys));
		m->memory->usage = cgroup_number(dir, "memory.current");
		m->memory->usage_limit = cgroup_number(dir, "memory.max");
		m->memory->max_usage = cgroup_number(dir, "memory.peak");
		m->memory->swap_usage = cgroup_number(dir, "memory.swap.current");
		m->memory->swap_limit = cgroup_number(dir, "memory.swap.max");
		m->memory->swap_max_usage = cgroup_number(dir, "memory.swap.peak");
		m->memory->psi = pressure(dir, "memory.pressure", a);
	}
	if (!events)
		return;
	m->memory_events = ARENA_NEW(a, Cg2__MemoryEvents);
	cg2__memory_events__init(m->memory_events);
	fill(m->memory_events, events, event_keys, ARRAY_LEN(event_keys));
}

/* "rbytes=1 wbytes=2 ..." up to the end of the line. */
static uint64_t assigned(const char *line, const char *key)
{
	size_t len = strlen(key);

	for (; *line && *line != '\n'; line++)
		if (*line == ' ' && !strncmp(line + 1, key, len) && line[1 + len] == '=')
			return str_starts(line + 2 + len, "max")
				       ? UINT32_MAX
				       : strtoull(line + 2 + len, NULL, 10);
	return 0;
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; text && *text; text++)
		n += *text == '\n';
	return MIN(n, (size_t)ROWS_MAX);
}

static const char *next_line(const char *line)
{
	line = strchr(line, '\n');
	return line ? line + 1 : "";
}

static void add_io(Cg2__Metrics *m, const char *dir, struct arena *a)
{
	autofree char *text = cgroup_text(dir, "io.stat");
	size_t n = count_lines(text);

	m->io = ARENA_NEW(a, Cg2__IOStat);
	cg2__iostat__init(m->io);
	m->io->usage = arena_array(a, n + 1, sizeof(Cg2__IOEntry *));
	for (const char *line = n ? text : ""; m->io->n_usage < n; line = next_line(line)) {
		Cg2__IOEntry *e = ARENA_NEW(a, Cg2__IOEntry);
		char *end;

		cg2__ioentry__init(e);
		m->io->usage[m->io->n_usage++] = e;
		e->major = strtoull(line, &end, 10);
		e->minor = *end == ':' ? strtoull(end + 1, NULL, 10) : 0;
		e->rbytes = assigned(line, "rbytes");
		e->wbytes = assigned(line, "wbytes");
		e->rios = assigned(line, "rios");
		e->wios = assigned(line, "wios");
	}
	m->io->psi = pressure(dir, "io.pressure", a);
}

static Cg2__RdmaEntry **rdma(const char *dir, const char *file, struct arena *a, size_t *ret_n)
{
	autofree char *text = cgroup_text(dir, file);
	size_t n = count_lines(text);
	Cg2__RdmaEntry **entries = arena_array(a, n + 1, sizeof(Cg2__RdmaEntry *));
	const char *line = n ? text : "";

	for (size_t i = 0; i < n; i++, line = next_line(line)) {
		entries[i] = ARENA_NEW(a, Cg2__RdmaEntry);
		cg2__rdma_entry__init(entries[i]);
		entries[i]->device = arena_strndup(a, line, strcspn(line, " \n"));
		entries[i]->hca_handles = (uint32_t)assigned(line, "hca_handle");
		entries[i]->hca_objects = (uint32_t)assigned(line, "hca_object");
	}
	*ret_n = n;
	return entries;
}

static void add_rdma(Cg2__Metrics *m, const char *dir, struct arena *a)
{
	m->rdma = ARENA_NEW(a, Cg2__RdmaStat);
	cg2__rdma_stat__init(m->rdma);
	m->rdma->current = rdma(dir, "rdma.current", a, &m->rdma->n_current);
	m->rdma->limit = rdma(dir, "rdma.max", a, &m->rdma->n_limit);
}

static void add_pids(Cg2__Metrics *m, const char *dir, struct arena *a)
{
	m->pids = ARENA_NEW(a, Cg2__PidsStat);
	cg2__pids_stat__init(m->pids);
	m->pids->current = cgroup_number(dir, "pids.current");
	m->pids->limit = cgroup_number(dir, "pids.max");
}

/* Page sizes are those of the files "hugetlb.2MB.current". */
static void add_hugetlb(Cg2__Metrics *m, const char *dir, struct arena *a)
{
	DIR *files = opendir(dir);
	const size_t most = 16;

	if (!files)
		return;
	m->hugetlb = arena_array(a, most, sizeof(Cg2__HugeTlbStat *));
	for (struct dirent *d; (d = readdir(files)) && m->n_hugetlb < most;) {
		Cg2__HugeTlbStat *h;

		if (!str_starts(d->d_name, "hugetlb.") || !str_ends(d->d_name, ".current") ||
			strstr(d->d_name, ".rsvd."))
			continue;
		h = ARENA_NEW(a, Cg2__HugeTlbStat);
		cg2__huge_tlb_stat__init(h);
		h->pagesize = arena_strndup(a, d->d_name + 8, strlen(d->d_name) - 8 - 8);
		h->current = cgroup_number(dir, d->d_name);
		h->max = cgroup_number(dir, arena_printf(a, "hugetlb.%s.max", h->pagesize));
		m->hugetlb[m->n_hugetlb++] = h;
	}
	closedir(files);
}

Google__Protobuf__Any *metrics_v2(const struct cgroup *c, struct arena *arena)
{
	const char *dir = cgroup_dir(c, "");
	Cg2__Metrics m = CG2__METRICS__INIT;

	add_pids(&m, dir, arena);
	add_cpu(&m, dir, arena);
	add_memory(&m, dir, arena);
	add_io(&m, dir, arena);
	add_rdma(&m, dir, arena);
	add_hugetlb(&m, dir, arena);
	return message_to_any(&m, arena);
}
