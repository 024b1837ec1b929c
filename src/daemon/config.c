// SPDX-License-Identifier: Apache-2.0
#include "daemon/config.h"

#include <ctype.h>
#include <glob.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/timestamp.h"
#include "daemon/toml.h"

#define MAX_FILES 256

enum key_type { KEY_STRING, KEY_INT, KEY_FLOAT, KEY_BOOL, KEY_STRINGS, KEY_DURATION };

/* Where a key stands: its tables and its name, joined by '/'. The first place is the newest
 * version's and the one that is printed; the others are read as well. */
struct key {
	enum key_type type;
	size_t offset;
	const char *places[4];
};

#define PLUGIN "plugins/io.containerd."
#define AT(member) offsetof(struct config, member)

static const struct key keys[] = {
	{KEY_INT, AT(version), {"version"}},
	{KEY_STRING, AT(root), {"root"}},
	{KEY_STRING, AT(state), {"state"}},
	{KEY_STRING, AT(temp), {"temp"}},
	{KEY_STRINGS, AT(disabled_plugins), {"disabled_plugins"}},
	{KEY_STRINGS, AT(required_plugins), {"required_plugins"}},
	{KEY_INT, AT(oom_score), {"oom_score"}},
	{KEY_STRINGS, AT(imports), {"imports"}},
	{KEY_STRING, AT(log_level), {"debug/level"}},
	{KEY_STRING, AT(log_format), {"debug/format"}},
	{KEY_DURATION, AT(shim_cleanup_ns), {"timeouts/io.containerd.timeout.shim.cleanup"}},
	{KEY_DURATION, AT(shim_load_ns), {"timeouts/io.containerd.timeout.shim.load"}},
	{KEY_DURATION, AT(shim_shutdown_ns), {"timeouts/io.containerd.timeout.shim.shutdown"}},
	{KEY_DURATION, AT(task_state_ns), {"timeouts/io.containerd.timeout.task.state"}},
	{KEY_INT, AT(gc_deletion_threshold),
		{PLUGIN "gc.v1.scheduler/deletion_threshold",
			"plugins/scheduler/deletion_threshold"}},
	{KEY_INT, AT(gc_mutation_threshold),
		{PLUGIN "gc.v1.scheduler/mutation_threshold",
			"plugins/scheduler/mutation_threshold"}},
	{KEY_FLOAT, AT(gc_pause_threshold),
		{PLUGIN "gc.v1.scheduler/pause_threshold", "plugins/scheduler/pause_threshold"}},
	{KEY_DURATION, AT(gc_schedule_delay_ns),
		{PLUGIN "gc.v1.scheduler/schedule_delay", "plugins/scheduler/schedule_delay"}},
	{KEY_DURATION, AT(gc_startup_delay_ns),
		{PLUGIN "gc.v1.scheduler/startup_delay", "plugins/scheduler/startup_delay"}},
	{KEY_STRING, AT(address), {PLUGIN "server.v1.grpc/address", "grpc/address"}},
	{KEY_INT, AT(gid), {PLUGIN "server.v1.grpc/gid", "grpc/gid"}},
	{KEY_INT, AT(max_recv),
		{PLUGIN "server.v1.grpc/max_recv_message_size", "grpc/max_recv_message_size"}},
	{KEY_INT, AT(max_send),
		{PLUGIN "server.v1.grpc/max_send_message_size", "grpc/max_send_message_size"}},
	{KEY_INT, AT(uid), {PLUGIN "server.v1.grpc/uid", "grpc/uid"}},
	{KEY_STRING, AT(ttrpc_address), {PLUGIN "server.v1.ttrpc/address", "ttrpc/address"}},
	{KEY_INT, AT(ttrpc_gid), {PLUGIN "server.v1.ttrpc/gid", "ttrpc/gid"}},
	{KEY_INT, AT(ttrpc_uid), {PLUGIN "server.v1.ttrpc/uid", "ttrpc/uid"}},
	{KEY_INT, AT(max_layer_bytes), {PLUGIN "service.v1.diff-service/max_layer_bytes"}},
	{KEY_INT, AT(max_layer_entries), {PLUGIN "service.v1.diff-service/max_layer_entries"}},
	{KEY_BOOL, AT(sync_fs), {PLUGIN "service.v1.diff-service/sync_fs"}},
	{KEY_STRINGS, AT(shim_env), {PLUGIN "shim.v1.manager/env"}},
	{KEY_STRING, AT(socket_dir), {PLUGIN "shim.v1.manager/socket_dir"}},
	{KEY_STRING, AT(blockfile_fs_type), {PLUGIN "snapshotter.v1.blockfile/fs_type"}},
	{KEY_STRINGS, AT(blockfile_mount_options),
		{PLUGIN "snapshotter.v1.blockfile/mount_options"}},
	{KEY_BOOL, AT(blockfile_recreate_scratch),
		{PLUGIN "snapshotter.v1.blockfile/recreate_scratch"}},
	{KEY_STRING, AT(blockfile_root), {PLUGIN "snapshotter.v1.blockfile/root_path"}},
	{KEY_STRING, AT(blockfile_scratch_file), {PLUGIN "snapshotter.v1.blockfile/scratch_file"}},
	{KEY_STRING, AT(btrfs_root),
		{PLUGIN "snapshotter.v1.btrfs/root_path", "plugins/btrfs/root_path"}},
	{KEY_STRING, AT(native_root),
		{PLUGIN "snapshotter.v1.native/root_path", "plugins/native/root_path"}},
	{KEY_STRINGS, AT(overlay_mount_options), {PLUGIN "snapshotter.v1.overlayfs/mount_options"}},
	{KEY_STRING, AT(overlay_root),
		{PLUGIN "snapshotter.v1.overlayfs/root_path", "plugins/overlayfs/root_path"}},
	{KEY_BOOL, AT(overlay_slow_chown), {PLUGIN "snapshotter.v1.overlayfs/slow_chown"}},
	{KEY_BOOL, AT(overlay_sync_remove), {PLUGIN "snapshotter.v1.overlayfs/sync_remove"}},
	{KEY_BOOL, AT(overlay_upperdir_label), {PLUGIN "snapshotter.v1.overlayfs/upperdir_label"}},
	{KEY_BOOL, AT(transfer_check_platform),
		{PLUGIN "transfer.v1.local/check_platform_supported"}},
};

void config_init(struct config *c)
{
	*c = (struct config){
		.version = CONFIG_VERSION_MAX,
		.root = xstrdup("/var/lib/containerd"),
		.state = xstrdup("/run/containerd"),
		.temp = xstrdup(""),
		.log_level = xstrdup(""),
		.log_format = xstrdup(""),
		.address = xstrdup("/run/containerd/containerd.sock"),
		.ttrpc_address = xstrdup(""),
		.uid = geteuid(),
		.gid = getegid(),
		.ttrpc_uid = geteuid(),
		.ttrpc_gid = getegid(),
		.max_recv = 16 << 20,
		.max_send = 16 << 20,
		.shim_load_ns = 5000000000,
		.shim_cleanup_ns = 5000000000,
		.shim_shutdown_ns = 3000000000,
		.task_state_ns = 2000000000,
		.max_layer_bytes = (int64_t)1 << 40,
		.max_layer_entries = 16000000,
		.gc_pause_threshold = 0.02,
		.gc_mutation_threshold = 100,
		.gc_startup_delay_ns = 100000000,
		.overlay_root = xstrdup(""),
		.native_root = xstrdup(""),
		.btrfs_root = xstrdup(""),
		.blockfile_root = xstrdup(""),
		.blockfile_scratch_file = xstrdup(""),
		.blockfile_fs_type = xstrdup(""),
		.socket_dir = xstrdup(""),
	};
}

static void *member(const struct config *c, const struct key *k)
{
	return (char *)(uintptr_t)c + k->offset;
}

void config_done(struct config *c)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (keys[i].type == KEY_STRING)
			free(*(char **)member(c, &keys[i]));
		else if (keys[i].type == KEY_STRINGS)
			strv_done(member(c, &keys[i]));
	}
}

/* --- reading --- */

struct load {
	struct config *config;
	struct strv *unknown;
	struct strv files; /* read or to be read; each once, so a loop of imports ends */
};

static struct err *wrong_type(
	const char *file, const struct toml *t, const char *place, const char *wanted)
{
	return err_new(ERR_INVALID, "%s:%d: %s: expected %s, found %s", file, t->line, place,
		wanted, toml_type_name(t->type));
}

static struct err *set_strings(
	const char *file, const struct toml *t, const char *place, struct strv *list)
{
	if (t->type != TOML_ARRAY)
		return wrong_type(file, t, place, "an array of strings");
	for (size_t i = 0; i < t->n; i++) {
		if (t->items[i]->type != TOML_STRING)
			return wrong_type(file, t->items[i], place, "an array of strings");
		if (!strv_has(list, t->items[i]->text))
			strv_add(list, t->items[i]->text);
	}
	return NULL;
}

static struct err *set_key(struct config *c, const char *file, const struct key *k,
	const struct toml *t, const char *place)
{
	void *to = member(c, k);

	switch (k->type) {
	case KEY_STRING:
		if (t->type != TOML_STRING)
			return wrong_type(file, t, place, "a string");
		free(*(char **)to);
		*(char **)to = xstrdup(t->text);
		return NULL;
	case KEY_INT:
		if (t->type != TOML_INT)
			return wrong_type(file, t, place, "an integer");
		*(int64_t *)to = t->integer;
		return NULL;
	case KEY_FLOAT:
		if (t->type != TOML_FLOAT && t->type != TOML_INT)
			return wrong_type(file, t, place, "a number");
		*(double *)to = t->type == TOML_INT ? (double)t->integer : t->real;
		return NULL;
	case KEY_BOOL:
		if (t->type != TOML_BOOL)
			return wrong_type(file, t, place, "true or false");
		*(bool *)to = t->boolean;
		return NULL;
	case KEY_STRINGS:
		return set_strings(file, t, place, to);
	case KEY_DURATION:
		if (t->type != TOML_STRING)
			return wrong_type(file, t, place, "a duration such as \"5s\"");
		return err_wrap(duration_parse(t->text, to), "%s:%d: %s", file, t->line, place);
	}
	return NULL;
}

static const struct key *find_key(const char *place)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		for (size_t k = 0; k < ARRAY_LEN(keys[i].places); k++) {
			if (keys[i].places[k] && str_eq(keys[i].places[k], place))
				return &keys[i];
		}
	}
	return NULL;
}

static struct err *apply(
	struct load *l, const char *file, const struct toml *table, const char *prefix)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct toml *t = table->items[i];
		autofree char *place = xasprintf("%s%s%s", prefix, *prefix ? "/" : "", t->key);
		const struct key *k = find_key(place);

		if (k)
			TRY(set_key(l->config, file, k, t, place));
		else if (t->type == TOML_TABLE)
			TRY(apply(l, file, t, place));
		else
			strv_addf(l->unknown, "%s:%d: %s", file, t->line, place);
	}
	return NULL;
}

/* Relative to the importing file; a pattern without a match is no error, a plain name is. */
static struct err *add_imports(struct load *l, const char *file, const struct toml *root)
{
	const struct toml *imports = toml_get(root, "imports");
	autofree char *dir = path_dir(file);

	for (size_t i = 0; imports && i < imports->n; i++) {
		const char *text = imports->items[i]->text;
		autofree char *pattern = *text == '/' ? xstrdup(text) : path_join(dir, text);
		glob_t found = {0};

		if (glob(pattern, strpbrk(text, "*?[") ? 0 : GLOB_NOCHECK, NULL, &found) == 0) {
			for (size_t k = 0; k < found.gl_pathc; k++) {
				if (!strv_has(&l->files, found.gl_pathv[k]))
					strv_add(&l->files, found.gl_pathv[k]);
			}
		}
		globfree(&found);
		if (l->files.n > MAX_FILES)
			return err_new(ERR_INVALID, "%s:%d: imports: more than %d files", file,
				imports->line, MAX_FILES);
	}
	return NULL;
}

static struct err *load_file(struct load *l, const char *file)
{
	autofree char *text = NULL;
	autoptr(toml) root = NULL;
	const struct toml *version;
	size_t len;

	TRY(file_read(file, TOML_MAX, &text, &len));
	TRY(toml_parse(file, text, len, &root));
	version = toml_get(root, "version");
	if (version && version->type == TOML_INT &&
		(version->integer < 0 || version->integer > CONFIG_VERSION_MAX))
		return err_new(ERR_INVALID,
			"%s:%d: version: %" PRId64 " is not known here, the newest is %d", file,
			version->line, version->integer, CONFIG_VERSION_MAX);
	TRY(apply(l, file, root, ""));
	return add_imports(l, file, root);
}

struct err *config_load(struct config *c, const char *path, struct strv *ret_unknown)
{
	struct load l = {c, ret_unknown, STRV_INIT};
	struct err *e = NULL;

	strv_add(&l.files, path);
	for (size_t i = 0; !e && i < l.files.n; i++)
		e = load_file(&l, l.files.items[i]);
	strv_done(&l.files);
	c->version = CONFIG_VERSION_MAX;
	return e;
}

struct err *config_check(const struct config *c)
{
	if (str_empty(c->root) || *c->root != '/')
		return err_new(ERR_INVALID, "root: \"%s\" is not an absolute path", c->root);
	if (str_empty(c->state) || *c->state != '/')
		return err_new(ERR_INVALID, "state: \"%s\" is not an absolute path", c->state);
	if (str_eq(c->root, c->state))
		return err_new(ERR_INVALID, "root and state must be different paths");
	if (str_empty(c->address))
		return err_new(ERR_INVALID, "grpc address cannot be empty");
	if (c->max_recv <= 0 || c->max_send <= 0 || c->max_recv > INT32_MAX ||
		c->max_send > INT32_MAX)
		return err_new(ERR_INVALID, "grpc message sizes must be positive and below 2 GiB");
	if (c->max_layer_bytes <= 0 || c->max_layer_entries <= 0)
		return err_new(ERR_INVALID, "the bounds of a layer must be positive");
	if (c->gc_pause_threshold < 0 || c->gc_pause_threshold > 0.5)
		return err_new(ERR_INVALID, "gc pause_threshold must be between 0 and 0.5");
	return NULL;
}

/* --- printing --- */

static void print_text(const char *s, FILE *out)
{
	fputc('"', out);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			fprintf(out, "\\u%04x", (unsigned)*s);
		else
			fputc(*s, out);
	}
	fputc('"', out);
}

static void print_strings(const struct strv *list, FILE *out)
{
	fputc('[', out);
	for (size_t i = 0; i < list->n; i++) {
		if (i)
			fputs(", ", out);
		print_text(list->items[i], out);
	}
	fputc(']', out);
}

static void print_value(const struct config *c, const struct key *k, FILE *out)
{
	const void *from = member(c, k);
	char duration[TIMESTAMP_TEXT];

	switch (k->type) {
	case KEY_STRING:
		print_text(*(char *const *)from, out);
		break;
	case KEY_INT:
		fprintf(out, "%" PRId64, *(const int64_t *)from);
		break;
	case KEY_FLOAT:
		fprintf(out, "%g", *(const double *)from);
		break;
	case KEY_BOOL:
		fputs(*(const bool *)from ? "true" : "false", out);
		break;
	case KEY_STRINGS:
		print_strings(from, out);
		break;
	case KEY_DURATION:
		duration_format(*(const int64_t *)from, duration);
		print_text(duration, out);
		break;
	}
	fputc('\n', out);
}

/* The header of the table a place is in: [a] or [plugins.'a.b']. */
static void print_header(const char *place, size_t len, FILE *out)
{
	bool plain = !memchr(place, '.', len);

	fputs("\n[", out);
	if (plain) {
		fprintf(out, "%.*s", (int)len, place);
	} else {
		const char *slash = memchr(place, '/', len);

		fprintf(out, "%.*s.'%.*s'", (int)(slash - place), place,
			(int)(place + len - slash - 1), slash + 1);
	}
	fputs("]\n", out);
}

static bool is_bare(const char *s)
{
	for (; *s; s++) {
		if (!isalnum((unsigned char)*s) && *s != '_' && *s != '-')
			return false;
	}
	return true;
}

void config_print(const struct config *c, FILE *out)
{
	const char *table = "";
	size_t table_len = 0;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *place = keys[i].places[0], *slash = strrchr(place, '/');
		const char *name = slash ? slash + 1 : place;
		size_t len = slash ? (size_t)(slash - place) : 0;

		if (len != table_len || strncmp(place, table, len) != 0) {
			print_header(place, len, out);
			table = place;
			table_len = len;
		}
		fprintf(out, is_bare(name) ? "%s%s = " : "%s'%s' = ", len ? "  " : "", name);
		print_value(c, &keys[i], out);
	}
}
