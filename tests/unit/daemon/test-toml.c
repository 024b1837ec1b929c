// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "daemon/toml.h"

/* The tree as text, so that cases read as a table. */
static void show(const struct toml *t, struct buf *b)
{
	const char *open = t->type == TOML_TABLE ? "{" : "[";

	switch (t->type) {
	case TOML_TABLE:
	case TOML_ARRAY:
		assert_true(buf_printf(b, "%s", open));
		for (size_t i = 0; i < t->n; i++) {
			if (i)
				assert_true(buf_append(b, ",", 1));
			if (t->type == TOML_TABLE)
				assert_true(buf_printf(b, "%s=", t->items[i]->key));
			show(t->items[i], b);
		}
		assert_true(buf_append(b, t->type == TOML_TABLE ? "}" : "]", 1));
		break;
	case TOML_STRING:
		assert_true(buf_printf(b, "'%s'", t->text));
		break;
	case TOML_DATE:
		assert_true(buf_printf(b, "@%s", t->text));
		break;
	case TOML_INT:
		assert_true(buf_printf(b, "%lld", (long long)t->integer));
		break;
	case TOML_FLOAT:
		assert_true(buf_printf(b, "%gf", t->real));
		break;
	case TOML_BOOL:
		assert_true(buf_printf(b, "%s", t->boolean ? "true" : "false"));
		break;
	}
}

static const struct {
	const char *text, *tree;
} good[] = {
	{"", "{}"},
	{"# comment only", "{}"},
	{"a = 1", "{a=1}"},
	{"a=1\r\nb=2\n", "{a=1,b=2}"},
	{"\xef\xbb\xbf"
	 "a=1",
		"{a=1}"},
	{"a = \"x\\ty\\u00e9\\\"\"", "{a='x\ty\xc3\xa9\"'}"},
	{"a = 'C:\\x'", "{a='C:\\x'}"},
	{"a = \"\"\"\none\ntwo\"\"\"", "{a='one\ntwo'}"},
	{"a = \"\"\"one \\\n   two\"\"\"", "{a='one two'}"},
	{"a = \"\"\"quotes \"\"\"\"\"", "{a='quotes \"\"'}"},
	{"a = '''x\n'y''''", "{a='x\n'y''}"},
	{"a = [1, 2, # c\n 3,]", "{a=[1,2,3]}"},
	{"a = []", "{a=[]}"},
	{"a = [[1],['x']]", "{a=[[1],['x']]}"},
	{"a = {b = 1, c = {d = 'x'}}", "{a={b=1,c={d='x'}}}"},
	{"a = {}", "{a={}}"},
	{"a.b.c = 1\na.b.d = 2", "{a={b={c=1,d=2}}}"},
	{"[a]\nb=1\n[a.c]\nd=2", "{a={b=1,c={d=2}}}"},
	{"[a.c]\nd=2\n[a]\nb=1", "{a={c={d=2},b=1}}"},
	{"[plugins.\"io.x.y\"]\nk='v'", "{plugins={io.x.y={k='v'}}}"},
	{"[[a]]\nb=1\n[[a]]\nb=2\n[a.c]\nd=3", "{a=[{b=1},{b=2,c={d=3}}]}"},
	{"a = 0xff\nb=0o17\nc=0b101\nd=1_000\ne=-17\nf=+3", "{a=255,b=15,c=5,d=1000,e=-17,f=3}"},
	{"a = 0xdead_beef", "{a=3735928559}"},
	{"a = 9223372036854775807", "{a=9223372036854775807}"},
	{"a = 0.02\nb=1e3\nc=-2.5E-1\nd=inf\ne=-inf\nf=6.2_5",
		"{a=0.02f,b=1000f,c=-0.25f,d=inff,e=-inff,f=6.25f}"},
	{"a = true\nb=false", "{a=true,b=false}"},
	{"a = 1979-05-27T07:32:00Z\nb=1979-05-27\nc=07:32:00.5\nd=1979-05-27 07:32:00-07:00",
		"{a=@1979-05-27T07:32:00Z,b=@1979-05-27,c=@07:32:00.5,d=@1979-05-27 "
		"07:32:00-07:00}"},
	{"\"\" = 1\n'x y' = 2", "{=1,x y=2}"},
	{"1234 = 1", "{1234=1}"},
};

static void test_good(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		autoptr(toml) t = NULL;
		autoval(buf) b = BUF_INIT(65536);
		struct err *e = toml_parse("f", good[i].text, strlen(good[i].text), &t);

		if (e)
			fail_msg("%s: %s", good[i].text, err_message(e));
		show(t, &b);
		assert_string_equal(buf_str(&b), good[i].tree);
	}
}

static const struct {
	const char *text, *message;
} bad[] = {
	{"a", "f:1: expected '=' behind the key a"},
	{"a = ", "f:1: expected a value"},
	{"\n\na = b", "f:3: b is not a value: strings stand in quotes"},
	{"a = 1 b = 2", "f:1: expected the end of the line, found 'b'"},
	{"a = 1\na = 2", "f:2: a is already defined in line 1"},
	{"[a]\n[a]", "f:2: a is already defined in line 1"},
	{"a = 1\n[a]", "f:2: a is already defined in line 1"},
	{"a = {b=1}\n[a.c]", "f:2: a is an inline table and cannot be extended"},
	{"a = {b=1}\na.c=1", "f:2: a is an inline table and cannot be extended"},
	{"a = [1\n", "f:2: expected ',' or ']' in the array"},
	{"a = {b=1,\n", "f:1: expected a key"},
	{"a = \"x\n\"", "f:1: the string is not closed on its line"},
	{"a = \"x", "f:1: the string is not closed"},
	{"a = '''x", "f:1: the string is not closed"},
	{"a = \"\\q\"", "f:1: unknown escape \\q"},
	{"a = \"\\ud800\"", "f:1: U+D800 is not a character"},
	{"a = \"\\u0000\"", "f:1: a NUL character cannot stand in a string"},
	{"a = 01", "f:1: leading zeros are not allowed: 01"},
	{"a = 1__0", "f:1: 1__0 is not a value: strings stand in quotes"},
	{"a = 9223372036854775808", "f:1: 9223372036854775808 does not fit into 64 bits"},
	{"a = 1.", "f:1: 1. is not a number"},
	{"a = .5", "f:1: .5 is not a number"},
	{"a = 1979-05-2x", "f:1: 1979-05-2x is not a date or time"},
	{"[a", "f:1: expected ']' behind the table's name"},
	{"[[a]", "f:1: expected ']]' behind the table's name"},
	{"a = []\n[[a]]", "f:2: a is not an array of tables, see line 1"},
	{"a = \"\x01\"", "f:1: control character in a string"},
	{"# \x01", "f:1: control character 0x01 in a comment"},
	{"a = '\xff'", "f: not UTF-8"},
};

static void test_bad(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		autoptr(toml) t = NULL;
		autoptr(err) e = toml_parse("f", bad[i].text, strlen(bad[i].text), &t);

		if (!e)
			fail_msg("accepted: %s", bad[i].text);
		assert_string_equal(err_message(e), bad[i].message);
		assert_true(err_is(e, ERR_INVALID));
	}
}

static void test_depth(void **state)
{
	char text[400] = "a = ";
	autoptr(toml) t = NULL;
	autoptr(err) e = NULL;

	memset(text + 4, '[', 200);
	e = toml_parse("f", text, 204, &t);
	assert_string_equal(err_message(e), "f:1: nested more than 32 deep");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
