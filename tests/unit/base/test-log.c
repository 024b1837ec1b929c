// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"

static int read_end, saved_stderr;

/* Standard error goes to a pipe meanwhile. */
static int setup(void **state)
{
	int ends[2];

	if (pipe(ends) != 0 || fcntl(ends[0], F_SETPIPE_SZ, 1 << 18) < 0)
		return -1;
	read_end = ends[0];
	saved_stderr = dup(STDERR_FILENO);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	log_set_level(LOG_INFO);
	log_set_format(LOG_TEXT);
	return 0;
}

static int teardown(void **state)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(read_end);
	return 0;
}

/* What was logged, from behind the time on. */
static char *logged(const char *mark)
{
	static char line[65536 + 16];
	ssize_t n = read(read_end, line, sizeof(line) - 1);

	assert_true(n > 0);
	line[n] = '\0';
	assert_int_equal(line[n - 1], '\n');
	assert_non_null(strstr(line, mark));
	return strstr(line, mark);
}

static void test_text(void **state)
{
	log_info("plain", "key", "value", "empty", "", "null", NULL);
	assert_string_equal(
		logged("level="), "level=info msg=plain key=value empty=\"\" null=\"\"\n");
	log_warn("two words", "path", "/a/b-c_d.e@f^g+h", "quoted", "a=\"b\"\\\n\t\x01");
	assert_string_equal(logged("level="),
		"level=warning msg=\"two words\" path=/a/b-c_d.e@f^g+h "
		"quoted=\"a=\\\"b\\\"\\\\\\n\\t\\u0001\"\n");
}

static void test_json_lines(void **state)
{
	autoptr(json_object) o = NULL;
	const char *line;

	log_set_format(LOG_JSON);
	log_error("went \"wrong\"", "id", "a\nb", "utf8", "\xc3\xb6");
	line = logged("{");
	assert_null(json_parse(line, strlen(line), &o));
	assert_string_equal(json_find_string(o, "level"), "error");
	assert_string_equal(json_find_string(o, "msg"), "went \"wrong\"");
	assert_string_equal(json_find_string(o, "id"), "a\nb");
	assert_string_equal(json_find_string(o, "utf8"), "\xc3\xb6");
	assert_non_null(json_find_string(o, "time"));
}

static void test_levels(void **state)
{
	static const struct {
		const char *text;
		enum log_level level;
	} names[] = {{"trace", LOG_TRACE}, {"debug", LOG_DEBUG}, {"info", LOG_INFO},
		{"warn", LOG_WARN}, {"warning", LOG_WARN}, {"ERROR", LOG_ERROR},
		{"fatal", LOG_FATAL}, {"panic", LOG_FATAL}};
	enum log_level level;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_true(log_level_parse(names[i].text, &level));
		assert_int_equal(level, names[i].level);
	}
	assert_false(log_level_parse("loud", &level));
	log_debug("not this");
	log_info("this");
	assert_string_equal(logged("level="), "level=info msg=this\n");
	log_set_level(LOG_DEBUG);
	log_debug("and this");
	assert_string_equal(logged("level="), "level=debug msg=\"and this\"\n");
}

static void test_long_lines_are_cut(void **state)
{
	autofree char *huge = xcalloc(1, 200001);
	size_t len;

	memset(huge, 'x', 200000);
	log_info(huge);
	len = strlen(logged("level="));
	assert_true(len > 60000 && len < 65600);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_text),
		T(test_json_lines),
		T(test_levels),
		T(test_long_lines_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
