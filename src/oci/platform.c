// SPDX-License-Identifier: Apache-2.0
#include "oci/platform.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>

#include "base/alloc.h"
#include "base/fs.h"

#define PLATFORM_LEN_MAX 256
#define CPUINFO_MAX 65536

/* Scores count down from here, one for each step away from what is wanted. */
#define MATCH_EXACT 1000

static const char *const known_oses[] = {"aix", "android", "darwin", "dragonfly", "freebsd", "hurd",
	"illumos", "ios", "js", "linux", "nacl", "netbsd", "openbsd", "plan9", "solaris", "windows",
	"zos"};

static const char *const known_archs[] = {"386", "amd64", "amd64p32", "arm", "armbe", "arm64",
	"arm64be", "ppc64", "ppc64le", "loong64", "mips", "mipsle", "mips64", "mips64le",
	"mips64p32", "mips64p32le", "ppc", "riscv", "riscv64", "s390", "s390x", "sparc", "sparc64",
	"wasm"};

/* Other spellings; a NULL variant keeps the one that was written. */
static const struct {
	const char *arch, *variant;
	const char *to_arch, *to_variant;
} spellings[] = {
	{"i386", NULL, "386", ""},
	{"x86_64", NULL, "amd64", NULL},
	{"x86-64", NULL, "amd64", NULL},
	{"aarch64", NULL, "arm64", NULL},
	{"armhf", NULL, "arm", "v7"},
	{"armel", NULL, "arm", "v6"},
	{"amd64", "v1", NULL, ""},
	{"arm64", "8", NULL, ""},
	{"arm64", "v8", NULL, ""},
	{"arm64", "v8.0", NULL, ""},
	{"arm64", "9", NULL, "v9"},
	{"arm64", "9.0", NULL, "v9"},
	{"arm64", "v9.0", NULL, "v9"},
	{"arm", "", NULL, "v7"},
	{"arm", "7", NULL, "v7"},
	{"arm", "5", NULL, "v5"},
	{"arm", "6", NULL, "v6"},
	{"arm", "8", NULL, "v8"},
};

static bool is_known(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

static void replace(char **s, const char *with)
{
	free(*s);
	*s = xstrdup(with);
}

static void lower(char **s)
{
	if (!*s)
		*s = xstrdup("");
	for (char *c = *s; *c; c++)
		*c = (char)tolower((unsigned char)*c);
}

void platform_done(struct platform *p)
{
	free(p->os);
	free(p->architecture);
	free(p->variant);
	free(p->os_version);
	strv_done(&p->os_features);
	*p = PLATFORM_INIT;
}

void platform_copy(struct platform *to, const struct platform *from)
{
	struct platform fresh = {
		.os = xstrdup(from->os),
		.architecture = xstrdup(from->architecture),
		.variant = xstrdup(from->variant),
		.os_version = xstrdup(from->os_version),
	};

	strv_add_all(&fresh.os_features, &from->os_features);
	platform_done(to);
	*to = fresh;
}

static void normalize_arch(struct platform *p)
{
	lower(&p->architecture);
	lower(&p->variant);
	for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
		if (strcmp(spellings[i].arch, p->architecture) != 0)
			continue;
		if (spellings[i].variant && strcmp(spellings[i].variant, p->variant) != 0)
			continue;
		if (spellings[i].to_variant)
			replace(&p->variant, spellings[i].to_variant);
		if (spellings[i].to_arch)
			replace(&p->architecture, spellings[i].to_arch);
	}
}

static void drop_empty_and_double(struct strv *v)
{
	strv_sort(v);
	for (size_t i = v->n; i-- > 0;) {
		if (!*v->items[i] || (i && strcmp(v->items[i], v->items[i - 1]) == 0))
			strv_remove_at(v, i);
	}
}

void platform_normalize(struct platform *p)
{
	lower(&p->os);
	if (!*p->os)
		replace(&p->os, PLATFORM_HOST_OS);
	if (strcmp(p->os, "macos") == 0)
		replace(&p->os, "darwin");
	normalize_arch(p);
	if (!p->os_version)
		p->os_version = xstrdup("");
	drop_empty_and_double(&p->os_features);
}

static size_t span_word(const char *s, const char *more)
{
	size_t n = 0;

	while (isascii(s[n]) && s[n] && (isalnum((unsigned char)s[n]) || strchr(more, s[n])))
		n++;
	return n;
}

/* "%2B" and the like, which keep '+', '(', ')', '/' and '%' apart from the syntax. */
static struct err *decode(const char *s, size_t n, char **ret)
{
	autofree char *text = xmalloc(n + 1);
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		char hex[3] = {0};

		if (s[i] != '%') {
			text[len++] = s[i];
			continue;
		}
		if (i + 2 >= n || !isxdigit((unsigned char)s[i + 1]) ||
			!isxdigit((unsigned char)s[i + 2]))
			return err_new(ERR_INVALID, "bad escape in \"%.*s\"", (int)n, s);
		memcpy(hex, s + i + 1, 2);
		text[len] = (char)strtoul(hex, NULL, 16);
		if (!text[len++])
			return err_new(ERR_INVALID, "NUL in \"%.*s\"", (int)n, s);
		i += 2;
	}
	text[len] = '\0';
	*ret = TAKE(text);
	return NULL;
}

/* "(version+feature+feature)" behind an os. */
static struct err *parse_os_options(const char *s, struct platform *p)
{
	size_t n = span_word(s + 1, "_.%-");

	TRY(decode(s + 1, n, &p->os_version));
	s += n + 1;
	while (*s == '+') {
		char *feature;

		n = span_word(s + 1, "_.%-");
		if (!n)
			return err_new(ERR_INVALID, "empty os feature");
		TRY(decode(s + 1, n, &feature));
		strv_add_take(&p->os_features, feature);
		s += n + 1;
	}
	if (strcmp(s, ")") != 0)
		return err_new(ERR_INVALID, "\"%s\" where \")\" is due", s);
	return NULL;
}

static struct err *parse_os(const char *s, struct platform *p)
{
	size_t n = span_word(s, "_-");

	if (!n || (s[n] && s[n] != '('))
		return err_new(ERR_INVALID, "\"%s\" is an invalid OS component", s);
	p->os = xstrndup(s, n);
	return s[n] ? parse_os_options(s + n, p) : NULL;
}

static struct err *check_component(const char *s)
{
	if (*s && span_word(s, "_.-") == strlen(s))
		return NULL;
	return err_new(ERR_INVALID, "\"%s\" is an invalid component", s);
}

/* One word alone is an os, or an architecture of the host's os. */
static struct err *complete_single(const char *word, struct platform *p)
{
	autoval(platform) host = PLATFORM_INIT;

	platform_host(&host);
	if (is_known(known_oses, ARRAY_LEN(known_oses), p->os)) {
		replace(&p->architecture, host.architecture);
		if (strcmp(host.architecture, "arm") == 0 && strcmp(host.variant, "v7") != 0)
			replace(&p->variant, host.variant);
		return NULL;
	}
	replace(&p->architecture, word);
	normalize_arch(p);
	if (!is_known(known_archs, ARRAY_LEN(known_archs), p->architecture))
		return err_new(ERR_INVALID, "unknown operating system or architecture");
	replace(&p->os, host.os);
	return NULL;
}

static struct err *parse(const char *text, struct platform *p)
{
	autoval(strv) parts = STRV_INIT;

	if (strnlen(text, PLATFORM_LEN_MAX + 1) > PLATFORM_LEN_MAX)
		return err_new(ERR_INVALID, "longer than %d bytes", PLATFORM_LEN_MAX);
	if (strchr(text, '*'))
		return err_new(ERR_INVALID, "wildcards not yet supported");
	strv_split(&parts, text, '/');
	if (!parts.n || parts.n > 3)
		return err_new(ERR_INVALID, "cannot parse platform specifier");
	TRY(parse_os(parts.items[0], p));
	for (size_t i = 1; i < parts.n; i++)
		TRY(check_component(parts.items[i]));
	p->architecture = xstrdup(parts.n > 1 ? parts.items[1] : "");
	p->variant = xstrdup(parts.n > 2 ? parts.items[2] : "");
	platform_normalize(p);
	if (parts.n == 1)
		TRY(complete_single(parts.items[0], p));
	/* The common variant is understood, and written only when it was written. */
	if (parts.n < 3 && strcmp(p->architecture, "arm") == 0 && strcmp(p->variant, "v7") == 0)
		replace(&p->variant, "");
	if (parts.n == 3 && strcmp(p->architecture, "arm64") == 0 && !*p->variant)
		replace(&p->variant, "v8");
	return NULL;
}

struct err *platform_parse(const char *text, struct platform *ret)
{
	autoval(platform) p = PLATFORM_INIT;

	TRY(err_wrap(parse(text, &p), "platform \"%.*s\"", PLATFORM_LEN_MAX, text));
	*ret = p;
	p = PLATFORM_INIT;
	return NULL;
}

static char *join_tail(const char *os, const struct platform *p)
{
	const char *arch = str_or(p->architecture, "");
	const char *variant = str_or(p->variant, "");

	return xasprintf("%s%s%s%s%s", os, *arch ? "/" : "", arch, *variant ? "/" : "", variant);
}

char *platform_format(const struct platform *p)
{
	if (str_empty(p->os))
		return xstrdup("unknown");
	return join_tail(p->os, p);
}

/* Append with all escaped that platform_parse() would not take as it stands. */
static void encode(char **at, const char *s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *s; s++) {
		if (!isascii(*s) || !(isalnum((unsigned char)*s) || strchr("_.-", *s))) {
			*(*at)++ = '%';
			*(*at)++ = hex[*s >> 4 & 15];
			*(*at)++ = hex[*s & 15];
		} else {
			*(*at)++ = *s;
		}
	}
}

char *platform_format_all(const struct platform *p)
{
	const char *version = str_or(p->os_version, "");
	size_t room = strlen(version) * 3 + strlen(str_or(p->os, "")) + 3;
	autofree char *os = NULL;
	char *at;

	if (str_empty(p->os) || (!*version && !p->os_features.n))
		return platform_format(p);
	for (size_t i = 0; i < p->os_features.n; i++)
		room += strlen(p->os_features.items[i]) * 3 + 1;
	os = xcalloc(1, room);
	at = stpcpy(os, p->os);
	*at++ = '(';
	encode(&at, version);
	for (size_t i = 0; i < p->os_features.n; i++) {
		*at++ = '+';
		encode(&at, p->os_features.items[i]);
	}
	*at = ')';
	return join_tail(os, p);
}

/* The value of a line "key : value" of /proc/cpuinfo, or NULL. */
static char *cpuinfo_get(const char *text, const char *key)
{
	for (const char *line = text; line && *line;) {
		size_t len = strcspn(line, "\n");
		const char *colon = memchr(line, ':', len);
		size_t key_len = colon ? (size_t)(colon - line) : 0;

		while (key_len && isspace((unsigned char)line[key_len - 1]))
			key_len--;
		if (colon && key_len == strlen(key) && strncasecmp(line, key, key_len) == 0) {
			colon++;
			while (*colon == ' ' || *colon == '\t')
				colon++;
			return xstrndup(colon, (size_t)(line + len - colon));
		}
		line += len + (line[len] == '\n');
	}
	return NULL;
}

/* 32-bit ARM comes in generations that cannot run each other's programs. */
static char *arm_variant(void)
{
	autofree char *text = NULL;
	autofree char *arch = NULL;
	autofree char *model = NULL;
	struct utsname u;

	err_free(file_read("/proc/cpuinfo", CPUINFO_MAX, &text, NULL));
	arch = cpuinfo_get(str_or(text, ""), "CPU architecture");
	model = cpuinfo_get(str_or(text, ""), "model name");
	if (!arch && uname(&u) == 0)
		arch = xstrdup(str_starts(u.machine, "armv") ? u.machine + 4 : "8");
	/* The first Raspberry Pi says 7 and is a 6. */
	if (model && strncasecmp(model, "armv6-compatible", 16) == 0)
		return xstrdup("v6");
	if (arch && arch[0] >= '5' && arch[0] <= '8')
		return xasprintf("v%c", arch[0]);
	return xstrdup(arch && arch[0] == 'A' ? "v8" : "v7");
}

void platform_host(struct platform *ret)
{
	*ret = (struct platform){
		.os = xstrdup(PLATFORM_HOST_OS),
		.architecture = xstrdup(PLATFORM_HOST_ARCH),
		.os_version = xstrdup(""),
	};
	if (strcmp(PLATFORM_HOST_ARCH, "arm64") == 0)
		ret->variant = xstrdup("v8");
	else if (strcmp(PLATFORM_HOST_ARCH, "arm") == 0)
		ret->variant = arm_variant();
	else
		ret->variant = xstrdup("");
}

/* "v8.2" and "" (`otherwise`) as numbers; false for other text. */
static bool read_variant(const char *variant, int otherwise, int *ret_major, int *ret_minor)
{
	int end = 0;

	*ret_major = otherwise;
	*ret_minor = 0;
	if (!*variant)
		return true;
	if (variant[0] != 'v' || !isdigit((unsigned char)variant[1]))
		return false;
	*ret_major = variant[1] - '0';
	end = 2;
	if (variant[end] == '.' && isdigit((unsigned char)variant[end + 1])) {
		*ret_minor = variant[end + 1] - '0';
		end += 2;
	}
	return !variant[end];
}

/* Steps from what is wanted down to what is offered; -1 for no way. */
static int amd64_distance(const struct platform *wanted, const struct platform *offered)
{
	int have, need, minor;

	if (!read_variant(wanted->variant, 1, &have, &minor))
		return -1;
	if (strcmp(offered->architecture, "386") == 0)
		return *offered->variant ? -1 : have;
	if (!read_variant(offered->variant, 1, &need, &minor) || need > have)
		return -1;
	return have - need;
}

static int arm_distance(int have, const struct platform *offered)
{
	int need, minor;

	if (!read_variant(offered->variant, 7, &need, &minor) || minor || need > have || need < 5)
		return -1;
	return have - need;
}

/* ARMv9.n has all of ARMv8.(n+5), of which 8.9 is the last; both run 32-bit programs up to v8. */
static int arm64_distance(const struct platform *wanted, const struct platform *offered)
{
	int major, minor, need_major, need_minor, eight;

	if (!read_variant(wanted->variant, 8, &major, &minor) || (major != 8 && major != 9))
		return -1;
	eight = major == 9 ? MIN(minor + 5, 9) : minor;
	if (strcmp(offered->architecture, "arm") == 0) {
		int below = arm_distance(8, offered);

		return below < 0 ? -1 : (major == 9 ? minor + 1 : 0) + eight + 1 + below;
	}
	if (!read_variant(offered->variant, 8, &need_major, &need_minor))
		return -1;
	if (need_major == major)
		return need_minor <= minor ? minor - need_minor : -1;
	if (need_major == 8 && major == 9 && need_minor <= eight)
		return minor + 1 + eight - need_minor;
	return -1;
}

static int distance(const struct platform *wanted, const struct platform *offered)
{
	const char *have = wanted->architecture;
	const char *need = offered->architecture;
	bool same = strcmp(have, need) == 0;
	int major, minor;

	if (same && strcmp(wanted->variant, offered->variant) == 0)
		return 0;
	if (strcmp(have, "amd64") == 0 && (same || strcmp(need, "386") == 0))
		return amd64_distance(wanted, offered);
	if (strcmp(have, "arm64") == 0 && (same || strcmp(need, "arm") == 0))
		return arm64_distance(wanted, offered);
	if (strcmp(have, "arm") == 0 && same && read_variant(wanted->variant, 7, &major, &minor))
		return arm_distance(major, offered);
	return -1;
}

static bool has_features(const struct platform *wanted, const struct platform *offered)
{
	for (size_t i = 0; i < offered->os_features.n; i++) {
		if (!strv_has(&wanted->os_features, offered->os_features.items[i]))
			return false;
	}
	return true;
}

int platform_match(const struct platform *wanted, const struct platform *offered)
{
	autoval(platform) w = PLATFORM_INIT;
	autoval(platform) o = PLATFORM_INIT;
	int steps;

	platform_copy(&w, wanted);
	platform_copy(&o, offered);
	platform_normalize(&w);
	platform_normalize(&o);
	if (strcmp(w.os, o.os) != 0 || !has_features(&w, &o))
		return 0;
	steps = distance(&w, &o);
	return steps < 0 ? 0 : MATCH_EXACT - steps;
}
