// SPDX-License-Identifier: Apache-2.0
/* The differ over the real worker. Needs root: the worker mounts, in a namespace of its own. */
#include "diff/differ.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive/codec.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/strv.h"
#include "diff/worker.h"
#include "tar-build.h"
#include "tree-check.h"

#define OCI_TAR "application/vnd.oci.image.layer.v1.tar"

static const struct scope in_test = {.ns = "test"};

struct fixture {
	char *dir, *target;
	const char *worker;
	struct meta *meta;
	struct content_store *store;
	struct content *content;
	struct differ *differ;
	struct mounts mounts; /* a bind mount of the target */
};

static void ok_at(struct err *e, int line)
{
	if (e) {
		print_error("%s\n", err_message(e));
		err_free(e);
		_fail(__FILE__, line);
	}
}
#define ok(expr) ok_at((expr), __LINE__)

static void refused_at(struct err *e, enum err_class class, const char *text, int line)
{
	if (err_class(e) != class || !strstr(err_message(e), text)) {
		print_error("%s: %s\n", err_class_name(err_class(e)), err_message(e));
		err_free(e);
		_fail(__FILE__, line);
	}
	err_free(e);
}
#define refused(expr, class, text) refused_at((expr), (class), (text), __LINE__)

static void bind_mount(struct mounts *m, const char *dir)
{
	struct mount *bind = mounts_add(m, "bind", dir, "");

	strv_add(&bind->options, "rbind");
	strv_add(&bind->options, "rw");
}

static int setup(void **state)
{
	struct fixture *f = NEW(struct fixture);
	autofree char *db = NULL;
	struct differ_options options = {
		.worker = getenv("WORKER"), .max_layer_bytes = 8 << 20, .max_layer_entries = 1000};

	assert_non_null(options.worker);
	f->worker = options.worker;
	f->dir = tree_temp();
	f->target = path_join(f->dir, "target");
	assert_int_equal(mkdir(f->target, 0755), 0);
	db = path_join(f->dir, "meta.db");
	ok(meta_open(db, &f->meta));
	ok(content_memory_open(&f->store));
	f->content = content_new(f->meta, f->store);
	f->differ = differ_new(f->content, &options);
	bind_mount(&f->mounts, f->target);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	differ_free(f->differ);
	content_free(f->content);
	content_close(f->store);
	meta_close(f->meta);
	mounts_done(&f->mounts);
	free(f->target);
	tree_remove(f->dir);
	free(f);
	return 0;
}

static void put_blob(struct fixture *f, const void *data, size_t len, struct descriptor *ret)
{
	struct content_ingest *i = NULL;
	char digest[DIGEST_MAX];
	struct err *e;

	digest_of(data, len, digest);
	e = content_ingest_open(f->content, &in_test, digest, 0, digest, &i);
	if (err_is(e, ERR_EXISTS)) {
		err_free(e);
	} else {
		ok(e);
		ok(content_ingest_write(i, 0, data, len));
		ok(content_ingest_commit(i, 0, digest, &(struct strmap){0}));
	}
	*ret = (struct descriptor){.media_type = xstrdup(OCI_TAR "+gzip"),
		.digest = xstrdup(digest),
		.size = (int64_t)len};
}

static void pack(enum codec codec, const struct buf *plain, struct buf *ret)
{
	autofd fd = memfd_create("packed", MFD_CLOEXEC);
	autoptr(encoder) e = NULL;
	off_t size;

	ok(encoder_new(codec, fd, &e));
	ok(encoder_write(e, plain->data, plain->len));
	ok(encoder_finish(e));
	size = lseek(fd, 0, SEEK_CUR);
	assert_true(buf_reserve(ret, (size_t)size));
	assert_int_equal(pread(fd, ret->data, (size_t)size, 0), size);
	ret->len = (size_t)size;
}

static void small_layer(struct buf *b)
{
	tar_build_entry(b, &(struct tar_spec){.name = "d/", .type = '5'});
	tar_build_entry(b, &(struct tar_spec){.name = "d/f", .data = "hello"});
	tar_build_end(b);
}

static struct err *apply(struct fixture *f, const struct descriptor *layer, struct descriptor *ret)
{
	return differ_apply(f->differ, &in_test, layer, &f->mounts, false, NULL, ret);
}

static void test_apply(void **state)
{
	static const enum codec codecs[] = {CODEC_NONE, CODEC_GZIP, CODEC_ZSTD};
	struct fixture *f = *state;
	autoval(buf) plain = TAR_BUILD_INIT;
	char diff_id[DIGEST_MAX];

	small_layer(&plain);
	/* What is behind the archive belongs to the layer. */
	tar_build_bytes(&plain, "more", 4);
	digest_of(plain.data, plain.len, diff_id);
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		autoval(buf) packed = BUF_INIT(1 << 20);
		autoval(descriptor) layer = DESCRIPTOR_INIT, applied = DESCRIPTOR_INIT;
		autofree char *got = NULL;

		pack(codecs[i], &plain, &packed);
		put_blob(f, packed.data, packed.len, &layer);
		ok(differ_apply(f->differ, &in_test, &layer, &f->mounts, i == 0, NULL, &applied));
		assert_string_equal(applied.media_type, OCI_TAR);
		assert_string_equal(applied.digest, diff_id);
		assert_int_equal(applied.size, plain.len);
		got = tree_describe(f->target);
		assert_string_equal(got, "d d 755\nf d/f 644 hello\n");
	}
}

static void test_empty_blob(void **state)
{
	struct fixture *f = *state;
	autoval(descriptor) layer = DESCRIPTOR_INIT, applied = DESCRIPTOR_INIT;
	autofree char *got = NULL;

	put_blob(f, "", 0, &layer);
	ok(apply(f, &layer, &applied));
	assert_int_equal(applied.size, 0);
	got = tree_describe(f->target);
	assert_string_equal(got, "");
}

static void test_overlay(void **state)
{
	struct fixture *f = *state;
	autoval(buf) b = TAR_BUILD_INIT;
	autoval(descriptor) layer = DESCRIPTOR_INIT, applied = DESCRIPTOR_INIT;
	autoval(mounts) mounts = MOUNTS_INIT;
	autofree char *lower = path_join(f->dir, "lower"), *work = path_join(f->dir, "work");
	autofree char *got = NULL;
	struct mount *m = mounts_add(&mounts, "overlay", "overlay", "");

	assert_int_equal(mkdir(lower, 0755), 0);
	assert_int_equal(mkdir(work, 0755), 0);
	tree_make(lower, "d etc 710\nf etc/old 644 x\nf gone 644 y");
	strv_addf(&m->options, "upperdir=%s", f->target);
	strv_addf(&m->options, "workdir=%s", work);
	strv_addf(&m->options, "lowerdir=%s", lower);
	tar_build_entry(&b, &(struct tar_spec){.name = "etc/new", .data = "n"});
	tar_build_entry(&b, &(struct tar_spec){.name = ".wh.gone", .data = ""});
	tar_build_end(&b);
	put_blob(f, b.data, b.len, &layer);
	ok(differ_apply(f->differ, &in_test, &layer, &mounts, true, NULL, &applied));
	got = tree_describe(f->target);
	assert_string_equal(got, "d etc 710\nf etc/new 644 n\nc gone 0 0\n");
}

static void test_media_types(void **state)
{
	static const struct {
		const char *type;
		bool known;
	} types[] = {
		{OCI_TAR, true},
		{OCI_TAR "+gzip", true},
		{OCI_TAR "+zstd", true},
		{"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", true},
		{"application/vnd.docker.image.rootfs.diff.tar", true},
		{"application/vnd.docker.image.rootfs.diff.tar.gzip", true},
		{"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", true},
		{"application/vnd.erofs.layer.v1", false},
		{"application/vnd.oci.image.layer.v1.tarball", false},
		{"application/json", false},
		{"", false},
	};
	struct fixture *f = *state;
	autoval(buf) plain = TAR_BUILD_INIT;
	autoval(descriptor) layer = DESCRIPTOR_INIT;

	small_layer(&plain);
	put_blob(f, plain.data, plain.len, &layer);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		autoval(descriptor) applied = DESCRIPTOR_INIT;

		free(layer.media_type);
		layer.media_type = xstrdup(types[i].type);
		if (types[i].known)
			ok(apply(f, &layer, &applied));
		else
			refused(apply(f, &layer, &applied), ERR_UNIMPLEMENTED,
				"no processor for media-type");
	}
}

static void test_bad_layers(void **state)
{
	static const struct {
		size_t cut;  /* of the packed blob's end */
		size_t flip; /* from its end */
		const char *want;
	} cases[] = {
		{1, 0, "gzip: the stream ends early"}, {20, 0, "gzip: the stream ends early"},
		{0, 6, "gzip: wrong checksum"},
		{0, 2, "gzip: wrong checksum"}, /* the length in the trailer lies */
	};
	struct fixture *f = *state;
	autoval(buf) plain = TAR_BUILD_INIT, packed = BUF_INIT(1 << 20);

	small_layer(&plain);
	pack(CODEC_GZIP, &plain, &packed);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(descriptor) layer = DESCRIPTOR_INIT, applied = DESCRIPTOR_INIT;
		autofree uint8_t *bad = xmemdup(packed.data, packed.len);
		autofree char *prefix = NULL;
		struct err *e;

		if (cases[i].flip)
			bad[packed.len - cases[i].flip] ^= 1;
		put_blob(f, bad, packed.len - cases[i].cut, &layer);
		e = apply(f, &layer, &applied);
		prefix = xasprintf("apply layer %s: ", layer.digest);
		assert_true(str_starts(err_message(e), prefix));
		refused(e, ERR_INVALID, cases[i].want);
	}
}

static void test_truncated_tar(void **state)
{
	struct fixture *f = *state;
	autoval(buf) plain = TAR_BUILD_INIT;
	autoval(descriptor) layer = DESCRIPTOR_INIT, applied = DESCRIPTOR_INIT;

	small_layer(&plain);
	put_blob(f, plain.data, 512 + 512 + 3, &layer);
	refused(apply(f, &layer, &applied), ERR_INVALID, ": entry \"d/f\": the archive ends early");
}

static void test_lying_size(void **state)
{
	struct fixture *f = *state;
	autoval(buf) plain = TAR_BUILD_INIT;
	autoval(descriptor) layer = DESCRIPTOR_INIT, applied = DESCRIPTOR_INIT;

	small_layer(&plain);
	put_blob(f, plain.data, plain.len, &layer);
	layer.size++;
	refused(apply(f, &layer, &applied), ERR_INVALID, "its descriptor says");
}

static void test_missing_blob(void **state)
{
	struct fixture *f = *state;
	struct descriptor layer = {.media_type = (char *)OCI_TAR,
		.digest = (char *)"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
				  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	autoval(descriptor) applied = DESCRIPTOR_INIT;

	refused(apply(f, &layer, &applied), ERR_NOT_FOUND, "not found");
	layer.digest = (char *)"sha256:../../x";
	refused(apply(f, &layer, &applied), ERR_INVALID, "sha256:../../x");
}

/* A small blob that is large inside: stopped at the bound. */
static void test_bomb(void **state)
{
	struct fixture *f = *state;
	autoval(buf) plain = TAR_BUILD_INIT, packed = BUF_INIT(1 << 20);
	autofree char *zeros = xcalloc(1, 32 << 20);
	autoval(descriptor) layer = DESCRIPTOR_INIT, applied = DESCRIPTOR_INIT;

	small_layer(&plain);
	tar_build_bytes(&plain, zeros, 32 << 20);
	pack(CODEC_GZIP, &plain, &packed);
	put_blob(f, packed.data, packed.len, &layer);
	refused(apply(f, &layer, &applied), ERR_INVALID, "larger than 8388608 bytes uncompressed");
}

static void test_escapes(void **state)
{
	struct fixture *f = *state;
	autoval(buf) b = TAR_BUILD_INIT;
	autoval(descriptor) layer = DESCRIPTOR_INIT, applied = DESCRIPTOR_INIT;
	autofree char *got = NULL, *victim = path_join(f->dir, "victim");

	tar_build_entry(&b, &(struct tar_spec){.name = "l", .type = '2', .link = f->dir});
	tar_build_entry(&b, &(struct tar_spec){.name = "m", .type = '2', .link = "../../../.."});
	tar_build_entry(&b, &(struct tar_spec){.name = "l/victim", .data = "x"});
	tar_build_entry(&b, &(struct tar_spec){.name = "m/victim", .data = "x"});
	tar_build_entry(&b, &(struct tar_spec){.name = "../victim", .data = "x"});
	tar_build_end(&b);
	put_blob(f, b.data, b.len, &layer);
	refused(apply(f, &layer, &applied), ERR_INVALID,
		"entry \"../victim\": leads out of the layer's root");
	assert_int_equal(access(victim, F_OK), -1);
	assert_int_equal(access("/victim", F_OK), -1);
	got = path_join(f->target, "victim");
	assert_int_equal(access(got, F_OK), 0);
}

static void test_no_mounts(void **state)
{
	struct fixture *f = *state;
	autoval(buf) plain = TAR_BUILD_INIT;
	autoval(descriptor) layer = DESCRIPTOR_INIT, applied = DESCRIPTOR_INIT;
	struct mounts none = MOUNTS_INIT;

	small_layer(&plain);
	put_blob(f, plain.data, plain.len, &layer);
	refused(differ_apply(f->differ, &in_test, &layer, &none, false, NULL, &applied),
		ERR_INVALID, "no mounts");
}

static void test_no_worker(void **state)
{
	struct fixture *f = *state;
	struct differ_options options = {.worker = "/nonexistent/containerd-worker"};
	autoptr(differ) d = differ_new(f->content, &options);
	autoval(buf) plain = TAR_BUILD_INIT;
	autoval(descriptor) layer = DESCRIPTOR_INIT, applied = DESCRIPTOR_INIT;

	small_layer(&plain);
	put_blob(f, plain.data, plain.len, &layer);
	refused(differ_apply(d, &in_test, &layer, &f->mounts, false, NULL, &applied), ERR_NOT_FOUND,
		"/nonexistent/containerd-worker");
}

static void test_cancelled(void **state)
{
	struct fixture *f = *state;
	autoptr(cancel) cancel = cancel_new();
	autoval(buf) plain = TAR_BUILD_INIT;
	autoval(descriptor) layer = DESCRIPTOR_INIT, made = DESCRIPTOR_INIT;
	struct diff_request request = {.lower = &f->mounts, .upper = &f->mounts};

	small_layer(&plain);
	put_blob(f, plain.data, plain.len, &layer);
	cancel_fire(cancel, ERR_CANCELLED);
	refused(differ_apply(f->differ, &in_test, &layer, &f->mounts, false, cancel, &made),
		ERR_CANCELLED, "");
	refused(differ_diff(f->differ, &in_test, &request, cancel, &made), ERR_CANCELLED, "");
}

/* Two directories, and mounts of them. */
struct pair {
	char *lower, *upper;
	struct mounts lower_mounts, upper_mounts;
};

static void pair_make(struct fixture *f, struct pair *p)
{
	*p = (struct pair){.lower = path_join(f->dir, "l"), .upper = path_join(f->dir, "u")};
	assert_int_equal(mkdir(p->lower, 0755), 0);
	assert_int_equal(mkdir(p->upper, 0755), 0);
	bind_mount(&p->lower_mounts, p->lower);
	bind_mount(&p->upper_mounts, p->upper);
	tree_make(p->lower, "f gone 644 x");
	tree_make(p->upper, "d d 755\nf d/f 640 hello\nh g d/f\nl s /etc");
}

static void pair_done(struct pair *p)
{
	free(p->lower);
	free(p->upper);
	mounts_done(&p->lower_mounts);
	mounts_done(&p->upper_mounts);
}

static void test_diff(void **state)
{
	static const char *const types[] = {NULL, OCI_TAR "+zstd", OCI_TAR};
	struct fixture *f = *state;
	struct pair p;

	pair_make(f, &p);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct diff_request request = {
			.lower = &p.lower_mounts, .upper = &p.upper_mounts, .media_type = types[i]};
		autoval(descriptor) made = DESCRIPTOR_INIT, applied = DESCRIPTOR_INIT;
		autoval(blob_info) info = {0};
		autofree char *got = NULL;

		ok(differ_diff(f->differ, &in_test, &request, NULL, &made));
		assert_string_equal(made.media_type, types[i] ? types[i] : OCI_TAR "+gzip");
		ok(content_info(f->content, &in_test, made.digest, &info));
		assert_int_equal(info.size, made.size);
		ok(apply(f, &made, &applied));
		assert_string_equal(
			strmap_get(&info.labels, "containerd.io/uncompressed"), applied.digest);
		got = tree_describe(f->target);
		assert_string_equal(got, "d d 755\nf d/f 640 hello\nh g d/f\nl s /etc\n");
	}
	pair_done(&p);
}

/* The same layer again, under a name of the caller's that an earlier try left data under, and with
 * labels; then once more when the blob is there. */
static void test_diff_again(void **state)
{
	struct fixture *f = *state;
	autoval(strmap) labels = STRMAP_INIT;
	autoval(descriptor) first = DESCRIPTOR_INIT, second = DESCRIPTOR_INIT;
	autoval(blob_info) info = {0};
	struct content_ingest *left = NULL;
	struct pair p;

	pair_make(f, &p);
	strmap_set(&labels, "a", "b");
	struct diff_request request = {.lower = &p.lower_mounts,
		.upper = &p.upper_mounts,
		.ref = "mine",
		.labels = &labels};

	ok(content_ingest_open(f->content, &in_test, "mine", 0, NULL, &left));
	ok(content_ingest_write(left, 0, "left behind", 11));
	content_ingest_close(left);
	ok(differ_diff(f->differ, &in_test, &request, NULL, &first));
	ok(content_info(f->content, &in_test, first.digest, &info));
	assert_string_equal(strmap_get(&info.labels, "a"), "b");
	ok(differ_diff(f->differ, &in_test, &request, NULL, &second));
	assert_string_equal(first.digest, second.digest);
	assert_int_equal(first.size, second.size);
	pair_done(&p);
}

static void test_diff_overlay(void **state)
{
	struct fixture *f = *state;
	autoval(mounts) mounts = MOUNTS_INIT;
	autoval(descriptor) made = DESCRIPTOR_INIT, applied = DESCRIPTOR_INIT;
	autofree char *work = path_join(f->dir, "w"), *got = NULL;
	struct mount *m = mounts_add(&mounts, "overlay", "overlay", "");
	struct pair p;

	pair_make(f, &p);
	assert_int_equal(mkdir(work, 0755), 0);
	strv_addf(&m->options, "upperdir=%s", p.upper);
	strv_addf(&m->options, "workdir=%s", work);
	strv_addf(&m->options, "lowerdir=%s", p.lower);
	strv_add(&m->options, "volatile");
	struct diff_request request = {.lower = &p.lower_mounts, .upper = &mounts};

	ok(differ_diff(f->differ, &in_test, &request, NULL, &made));
	ok(apply(f, &made, &applied));
	/* Nothing is gone here: the overlay shows both. */
	got = tree_describe(f->target);
	assert_string_equal(got, "d d 755\nf d/f 640 hello\nh g d/f\nl s /etc\n");
	pair_done(&p);
}

static void test_diff_refused(void **state)
{
	struct fixture *f = *state;
	autoval(mounts) broken = MOUNTS_INIT;
	autoval(descriptor) made = DESCRIPTOR_INIT;
	autoval(ingest_status_list) left = {0};
	struct diff_request request = {
		.lower = &f->mounts, .upper = &f->mounts, .media_type = "application/x-zip"};

	refused(differ_diff(f->differ, &in_test, &request, NULL, &made), ERR_UNIMPLEMENTED,
		"unsupported diff media type: application/x-zip");
	bind_mount(&broken, "/nonexistent/upper");
	request.media_type = NULL;
	request.upper = &broken;
	refused(differ_diff(f->differ, &in_test, &request, NULL, &made), ERR_NOT_FOUND,
		"/nonexistent/upper");
	/* What was begun under a name that nobody knows is gone. */
	ok(content_ingest_list(f->content, &in_test, NULL, 0, &left));
	assert_int_equal(left.n, 0);
}

static struct err *start_worker(const struct fixture *f, int layer_fd, int answer_fd,
	int64_t parent, const char *root, struct child *ret)
{
	const char *chroot_argv[] = {"chroot", root, f->worker, "apply", NULL};
	autoptr(json_object) job = worker_job_new();
	autofd input = memfd_create("job", MFD_CLOEXEC);
	struct worker_command command;
	const char *text;

	worker_job_add_mounts(job, "mounts", &f->mounts);
	json_object_object_add(job, "parent", json_object_new_int64(parent));
	json_object_object_add(job, "max_bytes", json_object_new_int64(1 << 20));
	json_object_object_add(job, "max_entries", json_object_new_int64(10));
	text = json_object_to_json_string(job);
	assert_int_equal(write_full(input, text, strlen(text)), 0);
	assert_int_equal(lseek(input, 0, SEEK_SET), 0);
	struct spawn_fd fds[] = {{input, 0}, {answer_fd, 1}, {layer_fd, WORKER_LAYER_FD}};

	worker_command_init(&command, f->worker, "apply");
	command.options.fds = fds;
	command.options.n_fds = ARRAY_LEN(fds);
	if (root) {
		command.options.path = "/usr/sbin/chroot";
		command.options.argv = (char *const *)chroot_argv;
	}
	return spawn(&command.options, ret);
}

static char *proc_text(pid_t pid, const char *name)
{
	autofree char *path = xasprintf("/proc/%d/%s", (int)pid, name);
	char *text;

	ok(file_read(path, 65536, &text, NULL));
	return text;
}

static bool same_link(pid_t pid, const char *name)
{
	autofree char *theirs = xasprintf("/proc/%d/%s", (int)pid, name);
	autofree char *ours = xasprintf("/proc/self/%s", name);
	char a[256] = {0}, b[256] = {0};

	assert_true(readlink(theirs, a, sizeof(a) - 1) > 0);
	assert_true(readlink(ours, b, sizeof(b) - 1) > 0);
	return strcmp(a, b) == 0;
}

/* The process that has read its first byte of a layer cannot do much. */
static void test_confinement(void **state)
{
	struct fixture *f = *state;
	autofree char *fill = xcalloc(1, 1 << 20), *status = NULL, *environment = NULL;
	int layer[2], answer[2], result;
	autofree char *root = NULL;
	struct stat theirs, ours;
	struct child child;

	assert_int_equal(pipe2(layer, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(pipe2(answer, O_CLOEXEC), 0);
	/* The worker's end must block. */
	assert_int_equal(fcntl(layer[0], F_SETFL, 0), 0);
	while (write(layer[1], fill, 4096) > 0)
		;
	ok(start_worker(f, layer[0], answer[1], getpid(), NULL, &child));
	close(answer[1]);
	close(layer[0]);
	/* Room in the pipe: it has read, so it is confined. */
	struct pollfd wait = {layer[1], POLLOUT, 0};

	assert_int_equal(poll(&wait, 1, 30000), 1);
	assert_true(wait.revents & POLLOUT);
	status = proc_text(child.pid, "status");
	assert_non_null(strstr(status, "NoNewPrivs:\t1"));
	assert_non_null(strstr(status, "Seccomp:\t2"));
	/* CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SYS_ADMIN, MKNOD, SETFCAP. */
	assert_non_null(strstr(status, "CapPrm:\t000000008820001b"));
	assert_non_null(strstr(status, "CapEff:\t000000008820001b"));
	assert_non_null(strstr(status, "CapBnd:\t000000008820001b"));
	environment = proc_text(child.pid, "environ");
	assert_string_equal(environment, "");
	assert_false(same_link(child.pid, "ns/mnt"));
	assert_false(same_link(child.pid, "ns/net"));
	root = xasprintf("/proc/%d/root/", (int)child.pid);
	assert_int_equal(stat(root, &theirs), 0);
	assert_int_equal(stat(f->target, &ours), 0);
	assert_int_equal(theirs.st_ino, ours.st_ino);
	close(layer[1]);
	ok(child_wait(&child, -1, NULL, &result));
	assert_true(WIFEXITED(result));
	close(answer[0]);
}

static void test_parent_is_gone(void **state)
{
	struct fixture *f = *state;
	autofd blob = memfd_create("blob", MFD_CLOEXEC);
	struct worker_answer answer;
	autofree char *text = NULL;
	struct child child;
	int ends[2], status;
	size_t len;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	ok(start_worker(f, blob, ends[1], 1, NULL, &child));
	close(ends[1]);
	ok(fd_read_all(ends[0], 65536, &text, &len));
	close(ends[0]);
	ok(child_wait(&child, -1, NULL, &status));
	refused(worker_read_answer(status, text, len, &answer), ERR_CANCELLED,
		"the daemon is gone");
}

/* A root that is a plain directory: the machine's own files are below it, found by symlinks. */
static char *make_chroot(const struct fixture *f)
{
	char *root = path_join(f->dir, "root");
	autofree char *host = path_join(root, "host"), *place = path_join(root, "mnt");
	DIR *dir = opendir("/");
	struct dirent *d;

	assert_non_null(dir);
	assert_int_equal(mkdir(root, 0755), 0);
	assert_int_equal(mkdir(host, 0755), 0);
	assert_int_equal(mkdir(place, 0755), 0);
	assert_int_equal(mount("/", host, NULL, MS_BIND | MS_REC, NULL), 0);
	while ((d = readdir(dir))) {
		autofree char *link = path_join(root, d->d_name);
		autofree char *to = path_join("host", d->d_name);

		/* The worker finds its place in the directory that is left. */
		if (d->d_name[0] != '.' && !str_eq(d->d_name, "mnt") && !str_eq(d->d_name, "sys"))
			assert_int_equal(symlink(to, link), 0);
	}
	closedir(dir);
	return root;
}

static void test_in_chroot(void **state)
{
	struct fixture *f = *state;
	autofree char *root = NULL, *text = NULL, *got = NULL, *host = NULL, *before = NULL;
	autofree char *after = NULL;
	autofd blob = memfd_create("blob", MFD_CLOEXEC);
	autoval(buf) plain = TAR_BUILD_INIT;
	struct worker_answer answer;
	struct child child;
	int ends[2], status;
	size_t len;

	/* Shared mounts, as systemd has them: what the worker mounts must not come through. */
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("", "/", NULL, MS_REC | MS_SHARED, NULL), 0);
	root = make_chroot(f);
	ok(file_read("/proc/self/mountinfo", 1 << 20, &before, NULL));
	small_layer(&plain);
	assert_int_equal(write_full(blob, plain.data, plain.len), 0);
	assert_int_equal(lseek(blob, 0, SEEK_SET), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	ok(start_worker(f, blob, ends[1], getpid(), root, &child));
	close(ends[1]);
	ok(fd_read_all(ends[0], 65536, &text, &len));
	close(ends[0]);
	ok(child_wait(&child, -1, NULL, &status));
	ok(worker_read_answer(status, text, len, &answer));
	got = tree_describe(f->target);
	assert_string_equal(got, "d d 755\nf d/f 644 hello\n");
	ok(file_read("/proc/self/mountinfo", 1 << 20, &after, NULL));
	assert_string_equal(before, after);
	host = path_join(root, "host");
	/* On its own, or what it is a copy of would go with it. */
	assert_int_equal(mount("", host, NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(umount2(host, MNT_DETACH), 0);
}

static void test_answers(void **state)
{
	static const struct {
		int status;
		const char *text;
		enum err_class class;
		const char *want;
	} cases[] = {
		{9, "", ERR_INTERNAL, "killed by signal 9"},
		{0x200, "{}", ERR_INTERNAL, "status 2"},
		{0, "", ERR_INTERNAL, "status 0 and no answer"},
		{0, "{", ERR_INTERNAL, "the worker's answer"},
		{0, "{}", ERR_INTERNAL, "no digest"},
		{0, "{\"digest\":\"sha256:zz\",\"size\":1}", ERR_INTERNAL, "no digest"},
		{0, "{\"class\":99,\"message\":\"m\"}", ERR_UNKNOWN, "m"},
		{0, "{\"class\":8,\"message\":\"full\"}", ERR_EXHAUSTED, "full"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct worker_answer answer;

		refused(worker_read_answer(
				cases[i].status, cases[i].text, strlen(cases[i].text), &answer),
			cases[i].class, cases[i].want);
	}
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FIXTURE(test_apply),
		WITH_FIXTURE(test_empty_blob),
		WITH_FIXTURE(test_overlay),
		WITH_FIXTURE(test_media_types),
		WITH_FIXTURE(test_bad_layers),
		WITH_FIXTURE(test_truncated_tar),
		WITH_FIXTURE(test_lying_size),
		WITH_FIXTURE(test_missing_blob),
		WITH_FIXTURE(test_bomb),
		WITH_FIXTURE(test_escapes),
		WITH_FIXTURE(test_no_mounts),
		WITH_FIXTURE(test_no_worker),
		WITH_FIXTURE(test_cancelled),
		WITH_FIXTURE(test_diff),
		WITH_FIXTURE(test_diff_again),
		WITH_FIXTURE(test_diff_overlay),
		WITH_FIXTURE(test_diff_refused),
		WITH_FIXTURE(test_confinement),
		WITH_FIXTURE(test_parent_is_gone),
		WITH_FIXTURE(test_in_chroot),
		cmocka_unit_test(test_answers),
	};

	if (geteuid() != 0)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
