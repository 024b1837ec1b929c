// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "shim/socket.h"

/* sha256 of "/run/containerd/containerd.sock/default/web". */
#define KNOWN "2cde4450fa38c74f53603e01d2afd903b315a27a596f12a151414cd59897d883"

static void test_name(void **fixture)
{
	autofree char *name = socket_name(
		"/run/containerd/s", "/run/containerd/containerd.sock", "default", "web");

	(void)fixture;
	assert_string_equal(name, "/run/containerd/s/" KNOWN);
}

static void test_listen(void **fixture)
{
	char dir[] = "/tmp/shim-socket-XXXXXX";
	autofree char *path = NULL, *sub = NULL;
	struct stat st;
	struct err *e;
	int fd, again;

	(void)fixture;
	assert_non_null(mkdtemp(dir));
	path = xasprintf("%s/s/name", dir);
	sub = xasprintf("%s/s", dir);
	assert_null(socket_listen(path, &fd));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(sub, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_true(socket_alive(path));
	e = socket_listen(path, &again);
	assert_true(err_is(e, ERR_EXISTS));
	err_free(e);
	close(fd);
	assert_false(socket_alive(path));
	assert_null(remove_tree(dir));
}

static void test_group(void **fixture)
{
	static const struct {
		const char *config, *group;
	} cases[] = {
		{"{}", "id"},
		{"{\"annotations\":{\"x\":\"y\"}}", "id"},
		{"{\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"pod\"}}", "pod"},
		{"{\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"pod\","
		 "\"io.containerd.runc.v2.group\":\"g\"}}",
			"g"},
		{"{\"annotations\":{\"io.containerd.runc.v2.group\":7}}", "id"},
		{"{\"annotations\":[]}", "id"},
	};
	char dir[] = "/tmp/shim-socket-XXXXXX";
	autofree char *path = NULL, *none = NULL;
	struct err *e;

	(void)fixture;
	assert_non_null(mkdtemp(dir));
	path = path_join(dir, "config.json");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autofree char *group = NULL;

		assert_null(file_write_atomic(
			path, cases[i].config, strlen(cases[i].config), 0600, false));
		assert_null(socket_group(path, "id", &group));
		assert_string_equal(group, cases[i].group);
	}
	assert_null(file_write_atomic(path, "{", 1, 0600, false));
	e = socket_group(path, "id", &none);
	assert_true(err_is(e, ERR_INVALID));
	err_free(e);
	assert_null(remove_tree(dir));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
