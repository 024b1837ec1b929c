// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/filter.h"
#include "base/re.h"
#include "base/strmap.h"
#include "base/strv.h"

/* The object of the tests: name "foo", an empty "hole", labels {"a": "1", "b.c": "two words",
 * "very complex/label": "x,y", "path": "/var/lib"}. */
static const char *field(void *object, char *const *path, size_t n, bool *ret_present)
{
	struct strmap *labels = object;
	const char *value;

	*ret_present = false;
	if (n == 1 && strcmp(path[0], "name") == 0) {
		*ret_present = true;
		return "foo";
	}
	if (n == 1 && strcmp(path[0], "hole") == 0) {
		*ret_present = true;
		return "";
	}
	if (n != 2 || strcmp(path[0], "labels") != 0)
		return NULL;
	value = strmap_get(labels, path[1]);
	*ret_present = value != NULL;
	return value;
}

static bool matches(const char *const *exprs, size_t n)
{
	autoval(strmap) labels = STRMAP_INIT;
	autoptr(filter) f = NULL;
	struct err *e = filter_parse((char *const *)exprs, n, &f);

	if (e)
		fail_msg("%s: %s", exprs[0], err_message(e));
	strmap_set(&labels, "a", "1");
	strmap_set(&labels, "b.c", "two words");
	strmap_set(&labels, "very complex/label", "x,y");
	strmap_set(&labels, "path", "/var/lib");
	return filter_match(f, field, &labels);
}

static const struct {
	const char *expr;
	bool match;
} cases[] = {
	{"", true},
	{"name", true},
	{"hole", true},
	{"nothing", false},
	{"name==foo", true},
	{"name==fo", false},
	{"name == foo", true},
	{" name==foo", true},
	{"name!=foo", false},
	{"name!=bar", true},
	{"nothing!=x", true},
	{"hole==\"\"", true},
	{"name==\"foo\"", true},
	{"name==\"f\\x6fo\"", true},
	{"name==\"\\146oo\"", true},
	{"name==\"\\u0066oo\"", true},
	{"labels.a", true},
	{"labels.z", false},
	{"labels.\"b.c\"==\"two words\"", true},
	{"labels.\"very complex/label\"==\"x,y\"", true},
	{"labels.\"very complex/label\"==x", false},
	{"labels.path~=|^/var|", true},
	{"labels.path~=/^.var/", true},
	{"labels.path~=|^var|", false},
	{"labels.path~=/\\/lib$/", true},
	{"name~=^f.o$", true},
	{"name~=(", false},
	{"name~=\"^[a-f]o+$\"", true},
	{"name==foo,labels.a==1", true},
	{"name==foo,labels.a==2", false},
	{"name==foo, labels.a==1", true},
	{"labels.a~=[0-9]", true},
	{"name==f\xc3\xb6o", false},
};

static void test_matching(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (matches(&cases[i].expr, 1) != cases[i].match)
			fail_msg("%s: expected %d", cases[i].expr, cases[i].match);
}

static void test_any_of_several(void **state)
{
	assert_true(matches(NULL, 0));
	assert_true(matches((const char *const[]){"name==x", "labels.a==1"}, 2));
	assert_false(matches((const char *const[]){"name==x", "labels.a==2"}, 2));
}

static const struct {
	const char *expr, *error;
} errors[] = {
	{"name==", "filters: parse error: [name==]: expected value or quoted: invalid argument"},
	{"name=foo", "filters: parse error: [name >|=|< foo]: unsupported operator \"=\": invalid "
		     "argument"},
	{"name===foo", "filters: parse error: [name >|=|< ==foo]: unsupported operator \"===\": "
		       "invalid argument"},
	{"name foo", "filters: parse error: [name  >|f|< oo]: expected an operator "
		     "(\"==\"|\"!=\"|\"~=\"): "
		     "invalid argument"},
	{"name==/x/", "filters: parse error: [name== >|/|< x/]: invalid quote encountered: invalid "
		      "argument"},
	{"|name|", "filters: parse error: [ >|||< name|]: invalid quote encountered: invalid "
		   "argument"},
	{"name==\"foo", "filters: parse error: [name== >|\"|< foo]: quoted literal not terminated: "
			"invalid argument"},
	{"name==\"\\q\"", "filters: parse error: [name== >|\"|< \\q\"]: illegal escape sequence: "
			  "invalid argument"},
	{"name==\"\\x1\"", "filters: parse error: [name== >|\"|< \\x1\"]: illegal numeric escape "
			   "sequence: invalid "
			   "argument"},
	{"name==\"\\777\"", "filters: parse error: [name== >|\"|< \\777\"]: unquoting failed: "
			    "quote syntax error: "
			    "invalid argument"},
	{"name.", "filters: parse error: [name.]: expected field or quoted: invalid argument"},
	{".name",
		"filters: parse error: [ >|.|< name]: expected field or quoted: invalid argument"},
	{"name,", "filters: parse error: [name,]: expected field or quoted: invalid argument"},
	{",", "filters: parse error: [ >|,|< ]: expected field or quoted: invalid argument"},
	{"name==foo bar", "filters: parse error: [name==foo >| |< bar]: unexpected input:  : "
			  "invalid argument"},
	{"name==\"a\"b", "filters: parse error: [name==\"a\" >|b|< ]: unexpected input: b: invalid "
			 "argument"},
	{"na\xffme", "filters: parse error: [na >|\xff|< me]: rune error: invalid argument"},
	{"-", "filters: parse error: [ >|-|< ]: expected field or quoted: invalid argument"},
};

static void test_errors(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		autoptr(filter) f = NULL;
		autoptr(err) e = filter_parse((char *const *)&errors[i].expr, 1, &f);

		assert_string_equal(err_message(e), errors[i].error);
		assert_int_equal(err_class(e), ERR_INVALID);
	}
}

static void test_size_is_bounded(void **state)
{
	autofree char *text = xmalloc(FILTER_TEXT_MAX + 2);
	autoptr(filter) f = NULL;
	autoptr(err) e = NULL;

	memset(text, 'a', FILTER_TEXT_MAX + 1);
	text[FILTER_TEXT_MAX + 1] = '\0';
	e = filter_parse(&text, 1, &f);
	assert_int_equal(err_class(e), ERR_INVALID);
	text[FILTER_TEXT_MAX] = '\0';
	assert_null(filter_parse(&text, 1, &f));
}

static const struct {
	const char *pattern, *text;
	bool match;
} patterns[] = {
	{"", "", true},
	{"a", "bab", true},
	{"^a", "ba", false},
	{"a$", "ab", false},
	{"^(a|b|)$", "", true},
	{"^(a|bc|d)$", "bc", true},
	{"^(a|bc|d)$", "abc", false},
	{"^a*$", "aaaa", true},
	{"^a*?b+?$", "aab", true},
	{"^(ab)?c$", "c", true},
	{"^(ab)?c$", "abc", true},
	{"^a{2,3}$", "a", false},
	{"^a{2,3}$", "aa", true},
	{"^a{2,3}$", "aaa", true},
	{"^a{2,3}$", "aaaa", false},
	{"^a{2,}$", "aaaaa", true},
	{"^a{2}$", "aaa", false},
	{"^a{0}b$", "b", true},
	{"^a{,2}$", "a{,2}", true},
	{"^(a|b){2}c$", "bac", true},
	{"^(?:(a|b){0,2}c)+$", "abcc", true},
	{"^(a*)*$", "aaab", false},
	{"\\d+", "a1", true},
	{"^\\D+$", "a1", false},
	{"^\\w+$", "a_Z9", true},
	{"^\\W$", "-", true},
	{"^\\s$", "\t", true},
	{"^\\S$", " ", false},
	{"\\bfoo\\b", "a foo b", true},
	{"\\bfoo\\b", "afoo", false},
	{"o\\Bo", "foo", true},
	{"^.$", "\n", false},
	{"(?s)^.$", "\n", true},
	{"(?i)^FoO$", "fOo", true},
	{"(?i)^[a-c]$", "B", true},
	{"^(?i:a)b$", "AB", false},
	{"^(?i:a)b$", "Ab", true},
	{"(?m)^b$", "a\nb\nc", true},
	{"^b$", "a\nb\nc", false},
	{"^[^a-c]$", "d", true},
	{"^[^a-c]$", "b", false},
	{"^[]a]+$", "]a", true},
	{"^[a-]+$", "-a", true},
	{"^[\\d.-]+$", "1.2-3", true},
	{"^[\\w]+[^\\W]$", "ab", true},
	{"^[[:alpha:]]+$", "abZ", true},
	{"^[[:^alpha:]]+$", "1-", true},
	{"^[[:^word:]]$", "_", false},
	{"^\\.\\*\\/$", ".*/", true},
	{"^\\Qa.b\\E$", "a.b", true},
	{"^\\Qa.b\\E$", "axb", false},
	{"^\\x41\\x{42}\\103$", "ABC", true},
	{"^.$", "\xc3\xb6", true},
	{"^[\xc3\xa4-\xc3\xbc]$", "\xc3\xb6", true},
	{"^(?P<x>a)(?<y>b)$", "ab", true},
	{"\\Aab\\z", "ab", true},
	{"a.*b.*c", "xaxbxcx", true},
	{"(x+x+)+y", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", false},
};

static void test_regular_expressions(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		autoptr(re) re = NULL;

		assert_null(re_compile(patterns[i].pattern, &re));
		if (re_match(re, patterns[i].text) != patterns[i].match)
			fail_msg("/%s/ and \"%s\": expected %d", patterns[i].pattern,
				patterns[i].text, patterns[i].match);
	}
}

static void test_bad_regular_expressions(void **state)
{
	static const char *const bad[] = {"(", ")", "a)", "[", "[]", "[b-a]", "*", "a**", "a{2}{3}",
		"\\", "\\8", "\\1", "\\q", "\\p{L}", "a{1001}", "a{3,2}", "(?x)a", "(?P<>a)",
		"(?=a)", "[[:nope:]]", "\\x{110000}", "\\xg", "(?i", "(?i)*", "a\xff",
		"(((a{1000}){1000}){1000})"};
	autofree char *deep = xmalloc(60001);
	autoptr(re) none = NULL;
	autoptr(err) e = NULL;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		autoptr(re) re = NULL;
		autoptr(err) why = re_compile(bad[i], &re);

		if (!err_is(why, ERR_INVALID))
			fail_msg("/%s/ was accepted", bad[i]);
	}
	memset(deep, '(', 60000);
	deep[60000] = '\0';
	e = re_compile(deep, &none);
	assert_int_equal(err_class(e), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matching),
		cmocka_unit_test(test_any_of_several),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_size_is_bounded),
		cmocka_unit_test(test_regular_expressions),
		cmocka_unit_test(test_bad_regular_expressions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
