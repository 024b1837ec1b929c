// SPDX-License-Identifier: Apache-2.0
#include "client/snapshots-internal.h"

#include <containerd/content.h>
#include <containerd/snapshots.h>
#include <string.h>

#include "proto/diff.pb-c.h"

#define MEDIA_LAYER_GZIP "application/vnd.oci.image.layer.v1.tar+gzip"

/* What shows the files of a snapshot: its own mounts, or a view of a committed one for the time
 * being. */
struct side {
	struct ctd_client *client;
	const char *snapshotter;
	char *view;		   /* key to remove, or NULL */
	struct ctd_mounts *record; /* what `mounts` points into, for a view */
	struct ctd_mounts mounts;
};

static void side_done(struct side *s)
{
	if (s->view)
		err_free(ctd_snapshot_remove(s->client, s->snapshotter, s->view));
	free(s->view);
	ctd_free(s->record);
}
DEFINE_AUTOVAL(side, side_done);

static struct err *side_view(struct side *side, const char *parent, const char *name)
{
	autofree char *key = xasprintf("%s-view-key", name);

	TRY(ctd_snapshot_view(side->client, side->snapshotter, key, parent, (struct ctd_labels){0},
		&side->record));
	side->view = TAKE(key);
	side->mounts = *side->record;
	return NULL;
}

static struct err *side_open(struct side *side, const struct ctd_snapshot *s, struct arena *arena)
{
	if (s->kind == CTD_SNAPSHOT_ACTIVE)
		return snapshot_mounts(
			SCOPE(side->client), side->snapshotter, s->name, arena, &side->mounts);
	return side_view(side, s->name, s->name);
}

static struct err *compare(const struct scope *s, const struct side *lower,
	const struct side *upper, const struct ctd_diff_options *options, struct arena *arena,
	const char **ret_digest)
{
	Diff__DiffRequest request = DIFF__DIFF_REQUEST__INIT;
	Diff__DiffResponse *reply;

	request.n_left = lower->mounts.n;
	request.left = mounts_to_wire(lower->mounts, arena);
	request.n_right = upper->mounts.n;
	request.right = mounts_to_wire(upper->mounts, arena);
	request.media_type = (char *)str_or(options->media_type, MEDIA_LAYER_GZIP);
	request.ref = (char *)str_or(options->ref, "");
	request.labels = LABELS_TO_WIRE(options->labels, Diff__DiffRequest__LabelsEntry,
		diff__diff_request__labels_entry__init, arena, &request.n_labels);
	TRY(call(s, "/containerd.services.diff.v1.Diff/Diff", &request,
		&diff__diff_response__descriptor, arena, &reply));
	if (!reply->diff)
		return err_new(ERR_INTERNAL, "the daemon made a diff without saying which");
	*ret_digest = reply->diff->digest;
	return NULL;
}

struct err *ctd_snapshot_diff(struct ctd_client *client, const char *lower, const char *upper,
	const struct ctd_diff_options *given, int fd)
{
	struct ctd_diff_options options = CTD_DIFF_INIT;
	autoptr(arena) arena = arena_new();
	autoval(temporary_lease) lease = {0};
	struct ctd_snapshot *lower_info = NULL, *upper_info = NULL;
	const char *digest = NULL;

	if (given)
		memcpy(&options, given, MIN(given->size, sizeof(options)));
	TRY(default_snapshotter(client, options.snapshotter, &options.snapshotter));
	TRY(temporary_lease_new(client, &lease));
	struct scope s = {.client = client, .lease = lease.id};
	autoval(side) left = {.client = client, .snapshotter = options.snapshotter};
	autoval(side) right = {.client = client, .snapshotter = options.snapshotter};

	TRY(ctd_snapshot_get(client, options.snapshotter, upper, &upper_info));
	struct err *e = NULL;
	if (lower) {
		e = ctd_snapshot_get(client, options.snapshotter, lower, &lower_info);
		if (!e)
			e = side_open(&left, lower_info, arena);
	} else {
		autofree char *name = xasprintf("%s-parent", upper);
		e = side_view(&left, upper_info->parent, name);
	}
	if (!e)
		e = side_open(&right, upper_info, arena);
	if (!e)
		e = compare(&s, &left, &right, &options, arena, &digest);
	if (!e)
		e = ctd_content_copy(client, digest, fd);
	ctd_free(lower_info);
	ctd_free(upper_info);
	return e;
}
