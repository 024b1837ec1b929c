// SPDX-License-Identifier: Apache-2.0
/* Snapshot calls with a lease and a snapshotter that is known, for the rest of the library. */
#pragma once

#include "client/client-internal.h"

/* Mounts are in the arena. */
CHECKED struct err *snapshot_prepare(const struct scope *s, const char *snapshotter,
	const char *key, const char *parent, struct ctd_labels labels, struct arena *arena,
	struct ctd_mounts *ret);
CHECKED struct err *snapshot_mounts(const struct scope *s, const char *snapshotter, const char *key,
	struct arena *arena, struct ctd_mounts *ret);
CHECKED struct err *snapshot_commit(const struct scope *s, const char *snapshotter,
	const char *name, const char *key, struct ctd_labels labels);
/* Finished by call_finish() with an empty reply. */
CHECKED struct err *snapshot_remove_start(
	const struct scope *s, const char *snapshotter, const char *key, struct grpc_stream **ret);
