// SPDX-License-Identifier: Apache-2.0
/* The flags that say what a container is to be, for those commands that make one. */
#pragma once

#include "ctr/ctr.h"

#include <containerd/containers.h>

extern const struct flag container_flags[], runtime_flags[], snapshot_label_flags[],
	run_container_flags[];

/* Everything that the options point to. */
struct container_spec {
	struct ctd_container_options options;
	struct label_args labels, snapshot_labels, annotations;
	struct strv env;
	struct ctd_spec_mount *mounts;
	struct strv *mount_parts; /* one list for each mount */
	size_t n_mounts;
	struct ctd_namespace_join *joins;
	struct strv join_types;
	struct ctd_id_map *uid_maps, *gid_maps;
	char *rootfs;
};

void container_spec_done(struct container_spec *s);
DEFINE_AUTOVAL(container_spec, container_spec_done);
/* Checks and reads flags and arguments. */
CHECKED struct err *container_spec_read(struct invocation *in, struct container_spec *ret);

/* Of --mount: "type=bind,src=/a,dst=/b,options=rbind:ro"; the texts go to `parts`. */
CHECKED struct err *mount_parse(const char *text, struct strv *parts, struct ctd_spec_mount *ret);
/* "0:100000:65536" */
CHECKED struct err *id_map_of_flag(const char *text, struct ctd_id_map *ret);
