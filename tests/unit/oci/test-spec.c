// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "oci/spec.h"

#define OK(expr)                                                                                   \
	do {                                                                                       \
		autoptr(err) ok_err_ = (expr);                                                     \
		if (ok_err_)                                                                       \
			fail_msg("%s", err_message(ok_err_));                                      \
	} while (0)

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "\n"
			     "broken\n"
			     "minus:x:-1:0::/:/bin/sh\n"
			     "big:x:4294967296:0::/:/bin/sh\n"
			     "words:x:one:two::/:/bin/sh\n"
			     "daemon:x:1:2:d:/:/bin/sh\n"
			     "4294967297:x:0:0:trap:/:/bin/sh\n"
			     "app:x:1000:1001:a,b:/home:/bin/sh:extra:fields";
static const char group[] = "root:x:0:root\n"
			    "wheel:x:10:daemon,app\n"
			    "app:x:1001:app\n"
			    "audio:x:29:pulse,app\n"
			    "near:x:30:ap,apps\n"
			    "bad:x:none:app\n"
			    "huge:x:99999999999:app\n"
			    "short";

/* What stands at a path, as text; caller frees. */
static char *at(struct json_object *spec, const char *path)
{
	struct json_object *o = json_find(spec, path);

	return xstrdup(o ? json_object_to_json_string_ext(
				   o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
			 : "-");
}

static void expect(struct json_object *spec, const char *path, const char *want)
{
	autofree char *text = at(spec, path);

	assert_string_equal(text, want);
}

static struct json_object *fresh(void)
{
	return spec_new("ns", "id");
}

static void has_defaults(void **state)
{
	autoptr(json_object) spec = fresh();
	struct json_object *mounts = json_find(spec, "mounts");

	expect(spec, "root", "{\"path\":\"rootfs\"}");
	expect(spec, "process.cwd", "\"/\"");
	expect(spec, "process.user", "{\"uid\":0,\"gid\":0}");
	expect(spec, "process.noNewPrivileges", "true");
	expect(spec, "process.rlimits",
		"[{\"type\":\"RLIMIT_NOFILE\",\"hard\":1024,\"soft\":1024}]");
	expect(spec, "linux.cgroupsPath", "\"/ns/id\"");
	expect(spec, "linux.resources.devices", "[{\"allow\":false,\"access\":\"rwm\"}]");
	expect(spec, "linux.namespaces",
		"[{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"mount\"},"
		"{\"type\":\"network\"}]");
	assert_int_equal(json_object_array_length(mounts), 7);
	assert_int_equal(json_object_array_length(json_find(spec, "linux.maskedPaths")), 11);
	assert_int_equal(json_object_array_length(json_find(spec, "linux.readonlyPaths")), 5);
	assert_int_equal(
		json_object_array_length(json_find(spec, "process.capabilities.bounding")), 14);
	assert_null(json_find(spec, "process.capabilities.inheritable"));
}

static void keeps_what_it_does_not_know(void **state)
{
	static const char text[] =
		"{\"ociVersion\":\"1.0.2\",\"x\":18446744073709551615,\"hooks\":{\"a/b\":[1.5]},"
		"\"linux\":{\"later\":true}}";
	autoptr(json_object) spec = NULL;
	autofree char *back = NULL;
	size_t len;

	OK(spec_parse(text, strlen(text), &spec));
	spec_set_cgroup(spec, "/c");
	back = spec_to_text(spec, &len);
	assert_int_equal(len, strlen(back));
	assert_string_equal(back,
		"{\"ociVersion\":\"1.0.2\",\"x\":18446744073709551615,\"hooks\":{\"a/b\":[1.5]},"
		"\"linux\":{\"later\":true,\"cgroupsPath\":\"/c\"}}");
}

static void refuses_what_is_no_spec(void **state)
{
	static const char *const bad[] = {"", "[]", "{}", "{\"ociVersion\":1}", "null"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		autoptr(json_object) spec = NULL;
		autoptr(err) e = spec_parse(bad[i], strlen(bad[i]), &spec);

		assert_true(err_is(e, ERR_INVALID));
	}
}

static void setters_survive_odd_documents(void **state)
{
	static const char text[] = "{\"ociVersion\":\"1\",\"process\":[],\"linux\":\"x\","
				   "\"mounts\":{},\"annotations\":1}";
	autoptr(json_object) spec = NULL;
	autoval(strv) args = STRV_INIT;
	autoval(strmap) notes = STRMAP_INIT;

	OK(spec_parse(text, strlen(text), &spec));
	strv_add(&args, "sh");
	strmap_set(&notes, "k", "v");
	spec_set_args(spec, &args);
	spec_privileged(spec);
	spec_host_network(spec, "h");
	spec_set_annotations(spec, &notes);
	expect(spec, "process.args", "[\"sh\"]");
	expect(spec, "annotations", "{\"k\":\"v\"}");
}

static void merges_environment(void **state)
{
	autoptr(json_object) spec = fresh();
	autoval(strv) image = STRV_INIT;
	autoval(strv) user = STRV_INIT;

	strv_split(&user, "B=user,D=4", ',');
	spec_add_env(spec, &user);
	strv_split(&image, "A=1,B=image,C=a=b,AB=5", ',');
	spec_add_default_env(spec, &image);
	expect(spec, "process.env", "[\"A=1\",\"B=user\",\"C=a=b\",\"AB=5\",\"D=4\"]");
	strv_done(&user);
	strv_split(&user, "A,C=,Z", ',');
	spec_add_env(spec, &user);
	expect(spec, "process.env", "[\"B=user\",\"C=\",\"AB=5\",\"D=4\"]");
	spec_set_tty(spec);
	expect(spec, "process.terminal", "true");
	expect(spec, "process.env", "[\"B=user\",\"C=\",\"AB=5\",\"D=4\",\"TERM=xterm\"]");
}

static void resolves_users(void **state)
{
	static const struct {
		const char *user, *want;
		bool needs_files;
	} cases[] = {
		{"root", "{\"uid\":0,\"gid\":0,\"additionalGids\":[0]}", true},
		{"app", "{\"uid\":1000,\"gid\":1001,\"additionalGids\":[1001]}", true},
		{"1000", "{\"uid\":1000,\"gid\":1001,\"additionalGids\":[1001]}", false},
		{"77", "{\"uid\":77,\"gid\":0,\"additionalGids\":[0]}", false},
		{"+5", "{\"uid\":5,\"gid\":0,\"additionalGids\":[0]}", false},
		{"2147483647", "{\"uid\":2147483647,\"gid\":0,\"additionalGids\":[0]}", false},
		{"5:6", "{\"uid\":5,\"gid\":6,\"additionalGids\":[6]}", false},
		{"1000:0", "{\"uid\":1000,\"gid\":0,\"additionalGids\":[0]}", false},
		{"app:audio", "{\"uid\":1000,\"gid\":29,\"additionalGids\":[29]}", true},
		{"app:7", "{\"uid\":1000,\"gid\":7,\"additionalGids\":[7]}", true},
		{"7:wheel", "{\"uid\":7,\"gid\":10,\"additionalGids\":[10]}", true},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoptr(json_object) spec = fresh();

		assert_int_equal(spec_user_needs_files(cases[i].user), cases[i].needs_files);
		OK(spec_set_user(spec, cases[i].user, passwd, group));
		expect(spec, "process.user", cases[i].want);
	}
}

static void refuses_users(void **state)
{
	static const struct {
		const char *user;
		enum err_class class;
	} cases[] = {
		{"2147483648", ERR_INVALID},
		{"4294967295", ERR_INVALID},
		{"4294967297", ERR_INVALID}, /* also a name in passwd */
		{"99999999999999999999999999", ERR_INVALID},
		{"-1", ERR_INVALID},
		{"1:4294967296", ERR_INVALID},
		{"1:-2", ERR_INVALID},
		{"1:2:3", ERR_INVALID},
		{"big", ERR_INVALID},
		{"minus", ERR_INVALID},
		{"words", ERR_INVALID},
		{"app:bad", ERR_INVALID},
		{"app:huge", ERR_INVALID},
		{"nobody-here", ERR_NOT_FOUND},
		{"broken", ERR_NOT_FOUND},
		{"app:nothing", ERR_NOT_FOUND},
		{"", ERR_NOT_FOUND},
		{":", ERR_NOT_FOUND},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoptr(json_object) spec = fresh();
		autoptr(err) e = spec_set_user(spec, cases[i].user, passwd, group);

		if (!err_is(e, cases[i].class))
			fail_msg("\"%s\": %s", cases[i].user, err_message(e));
		expect(spec, "process.user", "{\"uid\":0,\"gid\":0}");
	}
}

static void works_without_account_files(void **state)
{
	autoptr(json_object) spec = fresh();
	autoptr(err) e = NULL;

	OK(spec_set_user(spec, "1000", NULL, NULL));
	OK(spec_set_groups_of(spec, "1000", NULL, NULL));
	expect(spec, "process.user", "{\"uid\":1000,\"gid\":0,\"additionalGids\":[0]}");
	e = spec_set_user(spec, "app", NULL, NULL);
	assert_true(err_is(e, ERR_NOT_FOUND));
	assert_non_null(strstr(err_message(e), "no users found"));
}

static void finds_groups(void **state)
{
	static const struct {
		const char *user, *want;
	} cases[] = {
		{"app", "[1001,10,29]"},
		{"1000", "[1001,10,29]"},
		{"daemon", "[2,10]"},
		{"root", "[0]"},
		{"app:audio", "[29]"},
		{"4242", "[0]"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoptr(json_object) spec = fresh();

		OK(spec_set_user(spec, cases[i].user, passwd, group));
		OK(spec_set_groups_of(spec, cases[i].user, passwd, group));
		expect(spec, "process.user.additionalGids", cases[i].want);
	}
}

static void applies_images(void **state)
{
	static const char text[] = "{\"config\":{\"Env\":[\"A=1\"],\"Entrypoint\":[\"/e\"],\"Cmd\":"
				   "[\"c\"],\"WorkingDir\":\"/w\",\"User\":\"app\"}}";
	autoval(image_config) config = {0};
	autoval(image_config) bare = {0};
	autoval(strv) args = STRV_INIT;
	autoptr(json_object) spec = fresh();

	OK(image_config_parse(text, strlen(text), &config));
	OK(image_config_parse("{}", 2, &bare));
	OK(spec_apply_image(spec, &config, &args, passwd, group));
	expect(spec, "process.args", "[\"/e\",\"c\"]");
	expect(spec, "process.env", "[\"A=1\"]");
	expect(spec, "process.cwd", "\"/w\"");
	expect(spec, "process.user", "{\"uid\":1000,\"gid\":1001,\"additionalGids\":[1001,10,29]}");
	strv_add(&args, "mine");
	OK(spec_apply_image(spec, &config, &args, passwd, group));
	expect(spec, "process.args", "[\"/e\",\"mine\"]");
	json_object_object_del(json_find(spec, "process"), "env");
	OK(spec_apply_image(spec, &bare, NULL, passwd, group));
	expect(spec, "process.args", "[]");
	expect(spec, "process.env", "[\"" SPEC_DEFAULT_PATH "\"]");
	expect(spec, "process.cwd", "\"/\"");
}

static void edits_capabilities(void **state)
{
	autoptr(json_object) spec = fresh();
	autoval(strv) caps = STRV_INIT;
	autoval(strv) none = STRV_INIT;
	static const char *const bad[] = {"SYS_ADMIN", "CAP_NOPE", "cap_chown", ""};

	spec_set_caps(spec, &none);
	strv_split(&caps, "CAP_SYS_ADMIN,CAP_CHOWN,CAP_CHOWN", ',');
	OK(spec_add_caps(spec, &caps));
	expect(spec, "process.capabilities",
		"{\"bounding\":[\"CAP_SYS_ADMIN\",\"CAP_CHOWN\"],\"effective\":"
		"[\"CAP_SYS_ADMIN\",\"CAP_CHOWN\"],\"permitted\":[\"CAP_SYS_ADMIN\",\"CAP_CHOWN\"]"
		"}");
	strv_remove_at(&caps, 0);
	OK(spec_drop_caps(spec, &caps));
	expect(spec, "process.capabilities.effective", "[\"CAP_SYS_ADMIN\"]");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		autoval(strv) v = STRV_INIT;
		autoptr(err) add = NULL;
		autoptr(err) drop = NULL;

		strv_add(&v, bad[i]);
		add = spec_add_caps(spec, &v);
		drop = spec_drop_caps(spec, &v);
		assert_true(err_is(add, ERR_INVALID));
		assert_true(err_is(drop, ERR_INVALID));
	}
}

static void privileged_lifts_all(void **state)
{
	autoptr(json_object) spec = fresh();
	autoval(strv) options = STRV_INIT;

	strv_split(&options, "nosuid,ro", ',');
	spec_add_mount(spec, "cgroup", "cgroup", "/sys/fs/cgroup", &options);
	spec_set_apparmor(spec, "p");
	spec_set_seccomp_default(spec);
	spec_privileged(spec);
	spec_allow_all_devices(spec);
	assert_null(json_find(spec, "linux.maskedPaths"));
	assert_null(json_find(spec, "linux.readonlyPaths"));
	assert_null(json_find(spec, "linux.seccomp"));
	assert_null(json_find(spec, "process.apparmorProfile"));
	expect(spec, "linux.resources.devices", "[{\"allow\":true,\"access\":\"rwm\"}]");
	for (size_t i = 0; i < json_object_array_length(json_find(spec, "mounts")); i++) {
		struct json_object *m = json_object_array_get_idx(json_find(spec, "mounts"), i);
		autofree char *all = at(m, "options");

		assert_null(strstr(all, "\"ro\""));
	}
}

static void reads_mount_texts(void **state)
{
	static const struct {
		const char *text, *want;
	} good[] = {
		{"type=bind,src=/a,dst=/b,options=rbind:ro",
			"{\"destination\":\"/b\",\"type\":\"bind\",\"source\":\"/a\",\"options\":"
			"[\"rbind\",\"ro\"]}"},
		{"destination=/t,type=tmpfs", "{\"destination\":\"/t\",\"type\":\"tmpfs\"}"},
		{"\"src=/a,b \"\"q\"\"\",dst=/b",
			"{\"destination\":\"/b\",\"source\":\"/a,b \\\"q\\\"\"}"},
		{"dst=/old,dst=/new", "{\"destination\":\"/new\"}"},
	};
	static const char *const bad[] = {"", "type", "type=bind", "type=bind,dst=/b,what=1",
		"dst=/b,", "\"dst=/b", "\"dst=/b\"x"};
	autoptr(json_object) spec = fresh();

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct json_object *mounts;
		autofree char *text = NULL;

		OK(spec_add_mount_text(spec, good[i].text));
		mounts = json_find(spec, "mounts");
		text = xstrdup(json_object_to_json_string_ext(
			json_object_array_get_idx(mounts, json_object_array_length(mounts) - 1),
			JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
		assert_string_equal(text, good[i].want);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		autoptr(err) e = spec_add_mount_text(spec, bad[i]);

		if (!err_is(e, ERR_INVALID))
			fail_msg("\"%s\" was accepted", bad[i]);
	}
}

static void edits_namespaces_and_mounts(void **state)
{
	autoptr(json_object) spec = fresh();
	autoptr(err) e = spec_set_namespace(spec, "nope", "");

	assert_true(err_is(e, ERR_INVALID));
	OK(spec_set_namespace(spec, "network", "/proc/1/ns/net"));
	OK(spec_set_namespace(spec, "cgroup", ""));
	spec_remove_namespace(spec, "ipc");
	spec_remove_namespace(spec, "time");
	expect(spec, "linux.namespaces",
		"[{\"type\":\"pid\"},{\"type\":\"uts\"},{\"type\":\"mount\"},{\"type\":\"network\","
		"\"path\":\"/proc/1/ns/net\"},{\"type\":\"cgroup\"}]");
	spec_host_network(spec, "host");
	expect(spec, "linux.namespaces",
		"[{\"type\":\"pid\"},{\"type\":\"uts\"},{\"type\":\"mount\"},{\"type\":\"cgroup\"}"
		"]");
	expect(spec, "process.env", "[\"HOSTNAME=host\"]");
	assert_int_equal(json_object_array_length(json_find(spec, "mounts")), 9);
	spec_remove_mounts(spec, "/dev//shm/");
	spec_remove_mounts(spec, "/dev/sh");
	assert_int_equal(json_object_array_length(json_find(spec, "mounts")), 8);
	spec_add_id_mapping(spec, false, 0, 1000, 10);
	spec_add_id_mapping(spec, true, 0, 2000, 10);
	expect(spec, "linux.uidMappings", "[{\"containerID\":0,\"hostID\":1000,\"size\":10}]");
	expect(spec, "linux.gidMappings", "[{\"containerID\":0,\"hostID\":2000,\"size\":10}]");
}

static void sets_limits(void **state)
{
	autoptr(json_object) spec = fresh();

	spec_set_memory_limit(spec, UINT64_MAX);
	spec_set_cpu_quota(spec, -1, 100000);
	spec_set_cpu_shares(spec, 512);
	spec_set_cpuset(spec, "0-1", NULL);
	spec_set_pids_limit(spec, 7);
	spec_set_rlimit(spec, "RLIMIT_NOFILE", 1, UINT64_MAX);
	spec_set_rlimit(spec, "RLIMIT_CORE", 0, 0);
	expect(spec, "linux.resources.memory", "{\"limit\":18446744073709551615}");
	expect(spec, "linux.resources.cpu",
		"{\"quota\":-1,\"period\":100000,\"shares\":512,\"cpus\":\"0-1\"}");
	expect(spec, "linux.resources.pids", "{\"limit\":7}");
	expect(spec, "process.rlimits",
		"[{\"type\":\"RLIMIT_NOFILE\",\"hard\":18446744073709551615,\"soft\":1},"
		"{\"type\":\"RLIMIT_CORE\",\"hard\":0,\"soft\":0}]");
}

static void adds_devices(void **state)
{
	autoptr(json_object) spec = fresh();
	autoptr(err) missing = spec_add_device(spec, "/dev/no-such", NULL, "rwm");
	autoptr(err) file = spec_add_device(spec, "/etc/passwd", NULL, "rwm");
	struct json_object *device;

	assert_true(err_is(missing, ERR_NOT_FOUND));
	assert_true(err_is(file, ERR_INVALID));
	OK(spec_add_device(spec, "/dev/null", "/dev/nil", "rw"));
	device = json_object_array_get_idx(json_find(spec, "linux.devices"), 0);
	assert_string_equal(json_find_string(device, "path"), "/dev/nil");
	assert_string_equal(json_find_string(device, "type"), "c");
	expect(spec, "linux.resources.devices",
		"[{\"allow\":false,\"access\":\"rwm\"},{\"allow\":true,\"type\":\"c\",\"major\":1,"
		"\"minor\":3,\"access\":\"rw\"}]");
	OK(spec_add_host_devices(spec));
	assert_true(json_object_array_length(json_find(spec, "linux.devices")) > 3);
}

/* Whether the profile has an unconditional rule that allows the call. */
static bool allows(struct json_object *spec, const char *call)
{
	struct json_object *rules = json_find(spec, "linux.seccomp.syscalls");

	for (size_t i = 0; i < json_object_array_length(rules); i++) {
		struct json_object *rule = json_object_array_get_idx(rules, i);
		autofree char *names = at(rule, "names");
		autofree char *quoted = xasprintf("\"%s\"", call);

		if (!json_find(rule, "args") && strstr(names, quoted) &&
			strcmp(json_find_string(rule, "action"), "SCMP_ACT_ALLOW") == 0)
			return true;
	}
	return false;
}

static void seccomp_follows_capabilities(void **state)
{
	autoptr(json_object) spec = fresh();
	autoval(strv) caps = STRV_INIT;

	spec_set_seccomp_default(spec);
	expect(spec, "linux.seccomp.defaultAction", "\"SCMP_ACT_ERRNO\"");
	assert_true(allows(spec, "openat2"));
	assert_true(allows(spec, "chroot"));
	assert_false(allows(spec, "mount"));
	assert_false(allows(spec, "clone"));
	assert_false(allows(spec, "clone3"));
	assert_false(allows(spec, "socket"));
	assert_false(allows(spec, "bpf"));
	assert_false(allows(spec, "io_uring_setup"));
	strv_add(&caps, "CAP_SYS_ADMIN");
	OK(spec_add_caps(spec, &caps));
	spec_set_seccomp_default(spec);
	assert_true(allows(spec, "mount"));
	assert_true(allows(spec, "clone3"));
	assert_false(allows(spec, "init_module"));
}

static void takes_own_seccomp(void **state)
{
	static const char good[] = "{\"defaultAction\":\"SCMP_ACT_LOG\"}";
	autoptr(json_object) spec = fresh();
	autoptr(err) e = spec_set_seccomp(spec, "{}", 2);

	assert_true(err_is(e, ERR_INVALID));
	OK(spec_set_seccomp(spec, good, strlen(good)));
	expect(spec, "linux.seccomp", good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_defaults),
		cmocka_unit_test(keeps_what_it_does_not_know),
		cmocka_unit_test(refuses_what_is_no_spec),
		cmocka_unit_test(setters_survive_odd_documents),
		cmocka_unit_test(merges_environment),
		cmocka_unit_test(resolves_users),
		cmocka_unit_test(refuses_users),
		cmocka_unit_test(works_without_account_files),
		cmocka_unit_test(finds_groups),
		cmocka_unit_test(applies_images),
		cmocka_unit_test(edits_capabilities),
		cmocka_unit_test(privileged_lifts_all),
		cmocka_unit_test(reads_mount_texts),
		cmocka_unit_test(edits_namespaces_and_mounts),
		cmocka_unit_test(sets_limits),
		cmocka_unit_test(adds_devices),
		cmocka_unit_test(seccomp_follows_capabilities),
		cmocka_unit_test(takes_own_seccomp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
