// SPDX-License-Identifier: Apache-2.0
#include "base/timestamp.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"

#define NS_PER_SEC 1000000000LL

struct timestamp timestamp_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (struct timestamp){ts.tv_sec, (int32_t)ts.tv_nsec};
}

bool timestamp_is_zero(struct timestamp t)
{
	return t.sec == 0 && t.nsec == 0;
}

int timestamp_compare(struct timestamp a, struct timestamp b)
{
	if (a.sec != b.sec)
		return a.sec < b.sec ? -1 : 1;
	return (a.nsec > b.nsec) - (a.nsec < b.nsec);
}

int64_t timestamp_to_ns(struct timestamp t)
{
	int64_t ns;

	if (__builtin_mul_overflow(t.sec, NS_PER_SEC, &ns) ||
		__builtin_add_overflow(ns, t.nsec, &ns))
		return t.sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

struct timestamp timestamp_from_ns(int64_t ns)
{
	struct timestamp t = {ns / NS_PER_SEC, (int32_t)(ns % NS_PER_SEC)};

	if (t.nsec < 0) {
		t.nsec += NS_PER_SEC;
		t.sec--;
	}
	return t;
}

void timestamp_format(struct timestamp t, char ret[static TIMESTAMP_TEXT])
{
	time_t sec = (time_t)t.sec;
	struct tm tm;
	size_t n;

	if (!gmtime_r(&sec, &tm))
		memset(&tm, 0, sizeof(tm));
	/* strftime() does not fill up the year with zeros; Go's zero time is in the year 1. */
	n = (size_t)snprintf(ret, TIMESTAMP_TEXT, "%04d", tm.tm_year + 1900);
	n += strftime(ret + n, TIMESTAMP_TEXT - n, "-%m-%dT%H:%M:%S", &tm);
	if (t.nsec) {
		n += (size_t)snprintf(ret + n, TIMESTAMP_TEXT - n, ".%09d", t.nsec);
		while (ret[n - 1] == '0')
			n--;
	}
	memcpy(ret + n, "Z", 2);
}

static bool digits(const char **at, int n, int *ret)
{
	*ret = 0;
	for (int i = 0; i < n; i++) {
		if (!isdigit((unsigned char)(*at)[i]))
			return false;
		*ret = *ret * 10 + ((*at)[i] - '0');
	}
	*at += n;
	return true;
}

static bool literal(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static bool parse_fraction(const char **at, int32_t *ret_nsec)
{
	int32_t scale = 100000000;

	*ret_nsec = 0;
	if (!literal(at, '.'))
		return true;
	if (!isdigit((unsigned char)**at))
		return false;
	for (; isdigit((unsigned char)**at); (*at)++, scale /= 10)
		*ret_nsec += (**at - '0') * scale;
	return true;
}

static bool parse_zone(const char **at, int *ret_offset_sec)
{
	int sign = **at == '-' ? -1 : 1, hours, minutes;

	*ret_offset_sec = 0;
	if (literal(at, 'Z') || literal(at, 'z'))
		return true;
	if (!literal(at, '+') && !literal(at, '-'))
		return false;
	if (!digits(at, 2, &hours) || !literal(at, ':') || !digits(at, 2, &minutes))
		return false;
	*ret_offset_sec = sign * (hours * 3600 + minutes * 60);
	return hours < 24 && minutes < 60;
}

struct err *timestamp_parse(const char *text, struct timestamp *ret)
{
	const char *at = text;
	struct tm tm = {0};
	int offset;
	struct timestamp t = {0};

	if (!digits(&at, 4, &tm.tm_year) || !literal(&at, '-') || !digits(&at, 2, &tm.tm_mon) ||
		!literal(&at, '-') || !digits(&at, 2, &tm.tm_mday) ||
		!(literal(&at, 'T') || literal(&at, 't') || literal(&at, ' ')) ||
		!digits(&at, 2, &tm.tm_hour) || !literal(&at, ':') || !digits(&at, 2, &tm.tm_min) ||
		!literal(&at, ':') || !digits(&at, 2, &tm.tm_sec) ||
		!parse_fraction(&at, &t.nsec) || !parse_zone(&at, &offset) || *at ||
		tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
		tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return err_new(ERR_INVALID, "\"%.100s\" is not an RFC 3339 time", text);
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	t.sec = timegm(&tm) - offset;
	*ret = t;
	return NULL;
}

static bool parse_unit(const char **at, int64_t *ret_ns)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {{"ns", 1}, {"us", 1000}, {"µs", 1000}, {"μs", 1000}, {"ms", 1000000},
		{"s", NS_PER_SEC}, {"m", 60 * NS_PER_SEC}, {"h", 3600 * NS_PER_SEC}};

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		size_t len = strlen(units[i].name);

		if (strncmp(*at, units[i].name, len) != 0)
			continue;
		*at += len;
		*ret_ns = units[i].ns;
		return true;
	}
	return false;
}

/* One "1.5h" of a duration. */
static bool parse_term(const char **at, int64_t *ret_ns)
{
	int64_t whole = 0, unit, total;
	double fraction = 0, scale = 0.1;
	bool any = false;

	for (; isdigit((unsigned char)**at); (*at)++, any = true) {
		if (__builtin_mul_overflow(whole, 10, &whole) ||
			__builtin_add_overflow(whole, **at - '0', &whole))
			return false;
	}
	if (literal(at, '.')) {
		for (; isdigit((unsigned char)**at); (*at)++, any = true, scale /= 10)
			fraction += (**at - '0') * scale;
	}
	if (!any || !parse_unit(at, &unit) || __builtin_mul_overflow(whole, unit, &total))
		return false;
	return !__builtin_add_overflow(total, (int64_t)(fraction * (double)unit + 0.5), ret_ns);
}

struct err *duration_parse(const char *text, int64_t *ret_ns)
{
	const char *at = text;
	bool negative = *at == '-';
	int64_t total = 0, term;

	if (*at == '-' || *at == '+')
		at++;
	if (strcmp(at, "0") == 0) {
		*ret_ns = 0;
		return NULL;
	}
	do {
		if (!parse_term(&at, &term) || __builtin_add_overflow(total, term, &total))
			return err_new(ERR_INVALID,
				"\"%.100s\" is not a duration such as \"1h15m30s\" or \"500ms\"",
				text);
	} while (*at);
	*ret_ns = negative ? -total : total;
	return NULL;
}

static size_t trim_zeros(char *text, size_t n)
{
	if (!memchr(text, '.', n))
		return n;
	while (text[n - 1] == '0')
		n--;
	return text[n - 1] == '.' ? n - 1 : n;
}

void duration_format(int64_t ns, char ret[static TIMESTAMP_TEXT])
{
	const char *sign = ns < 0 ? "-" : "", *unit;
	uint64_t u = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	uint64_t hours = u / (3600 * NS_PER_SEC), minutes = u / (60 * NS_PER_SEC) % 60;
	size_t n;

	if (u == 0) {
		memcpy(ret, "0s", 3);
		return;
	}
	if (u < 1000) {
		snprintf(ret, TIMESTAMP_TEXT, "%s%luns", sign, (unsigned long)u);
		return;
	}
	if (u < NS_PER_SEC) {
		bool milli = u >= 1000000;

		unit = milli ? "ms" : "µs";
		n = (size_t)snprintf(ret, TIMESTAMP_TEXT, "%s%.*f", sign, milli ? 6 : 3,
			(double)u / (milli ? 1e6 : 1e3));
	} else {
		unit = "s";
		n = (size_t)snprintf(ret, TIMESTAMP_TEXT, "%s", sign);
		if (hours)
			n += (size_t)snprintf(
				ret + n, TIMESTAMP_TEXT - n, "%luh", (unsigned long)hours);
		if (hours || minutes)
			n += (size_t)snprintf(
				ret + n, TIMESTAMP_TEXT - n, "%lum", (unsigned long)minutes);
		u %= 60 * NS_PER_SEC;
		n += (size_t)snprintf(ret + n, TIMESTAMP_TEXT - n, "%lu.%09lu",
			(unsigned long)(u / NS_PER_SEC), (unsigned long)(u % NS_PER_SEC));
	}
	n = trim_zeros(ret, n);
	snprintf(ret + n, TIMESTAMP_TEXT - n, "%s", unit);
}

int64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

int64_t monotonic_ms(void)
{
	return monotonic_ns() / 1000000;
}
