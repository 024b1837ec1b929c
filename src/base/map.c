// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"

#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"

/* Peers choose keys, so the hash starts from a secret drawn once per process. */
static uint64_t hash_seed(void)
{
	static uint64_t seed;

	if (!seed) {
		uint64_t fresh = 0;

		if (getrandom(&fresh, sizeof(fresh), GRND_NONBLOCK) < 0)
			fresh = (uintptr_t)&seed;
		__atomic_store_n(&seed, fresh | 1, __ATOMIC_RELAXED);
	}
	return __atomic_load_n(&seed, __ATOMIC_RELAXED);
}

uint64_t hash_bytes(const void *p, size_t len)
{
	const uint8_t *bytes = p;
	uint64_t h = hash_seed() ^ 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++) {
		h ^= bytes[i];
		h *= 0x100000001b3u;
		h ^= h >> 29;
	}
	return h;
}

void map_done(struct map *m, void (*destroy)(void *value))
{
	for (size_t i = 0; i < m->cap; i++) {
		if (!m->slots[i].key)
			continue;
		free(m->slots[i].key);
		if (destroy)
			destroy(m->slots[i].value);
	}
	free(m->slots);
	*m = MAP_INIT;
}

static struct map_slot *find(const struct map *m, const char *key, uint64_t hash)
{
	size_t i = hash & (m->cap - 1);

	while (m->slots[i].key) {
		if (m->slots[i].hash == hash && strcmp(m->slots[i].key, key) == 0)
			break;
		i = (i + 1) & (m->cap - 1);
	}
	return &m->slots[i];
}

void *map_get(const struct map *m, const char *key)
{
	return m->cap ? find(m, key, hash_bytes(key, strlen(key)))->value : NULL;
}

static void grow(struct map *m)
{
	struct map old = *m;

	m->cap = old.cap ? old.cap * 2 : 8;
	m->slots = xcalloc(m->cap, sizeof(*m->slots));
	for (size_t i = 0; i < old.cap; i++) {
		if (old.slots[i].key)
			*find(m, old.slots[i].key, old.slots[i].hash) = old.slots[i];
	}
	free(old.slots);
}

void *map_set(struct map *m, const char *key, void *value)
{
	uint64_t hash = hash_bytes(key, strlen(key));
	struct map_slot *slot;
	void *before;

	if ((m->n + 1) * 4 > m->cap * 3)
		grow(m);
	slot = find(m, key, hash);
	before = slot->value;
	if (!slot->key) {
		slot->key = xstrdup(key);
		slot->hash = hash;
		m->n++;
	}
	slot->value = value;
	return before;
}

void *map_del(struct map *m, const char *key)
{
	struct map_slot *slot = m->cap ? find(m, key, hash_bytes(key, strlen(key))) : NULL;
	size_t hole, i;
	void *value;

	if (!slot || !slot->key)
		return NULL;
	value = slot->value;
	free(slot->key);
	m->n--;
	/* Close the hole, so that probing never meets a gap within a run. */
	hole = (size_t)(slot - m->slots);
	for (i = (hole + 1) & (m->cap - 1); m->slots[i].key; i = (i + 1) & (m->cap - 1)) {
		size_t home = m->slots[i].hash & (m->cap - 1);

		if (((i - home) & (m->cap - 1)) < ((i - hole) & (m->cap - 1)))
			continue;
		m->slots[hole] = m->slots[i];
		hole = i;
	}
	m->slots[hole] = (struct map_slot){0};
	return value;
}

bool map_next(const struct map *m, size_t *i, const char **ret_key, void **ret_value)
{
	for (; *i < m->cap; (*i)++) {
		const struct map_slot *slot = &m->slots[*i];

		if (!slot->key)
			continue;
		if (ret_key)
			*ret_key = slot->key;
		if (ret_value)
			*ret_value = slot->value;
		(*i)++;
		return true;
	}
	return false;
}
