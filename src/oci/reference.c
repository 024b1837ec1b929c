// SPDX-License-Identifier: Apache-2.0
#include "oci/reference.h"

#include <ctype.h>
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/strv.h"

/*
 * The grammar (docker/distribution's, which the OCI distribution-spec took over):
 *
 *   reference  = host[":" port] "/" component *("/" component) [":" tag] ["@" digest]
 *   host       = labels of letters, digits and inner "-", joined by "."; or "[" IPv6 "]"
 *   component  = [a-z0-9]+ joined by ".", "_", "__" or any number of "-"
 *   tag        = [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}
 */
#define PATH_LEN_MAX 255
#define TAG_LEN_MAX 128
#define REFERENCE_LEN_MAX 1024
#define DEFAULT_HOST "docker.io"
#define LEGACY_HOST "index.docker.io"
#define OFFICIAL_PREFIX "library/"
#define DEFAULT_TAG "latest"

void reference_done(struct reference *r)
{
	free(r->name);
	free(r->host);
	free(r->path);
	free(r->tag);
	free(r->digest);
	*r = REFERENCE_INIT;
}

static bool is_word(char c)
{
	return isascii(c) && (isalnum((unsigned char)c) || c == '_');
}

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static size_t span_lower_alnum(const char *s)
{
	size_t n = 0;

	while (is_lower_alnum(s[n]))
		n++;
	return n;
}

/* The length of a separator inside a path component; 0 for none. */
static size_t span_separator(const char *s)
{
	if (*s == '.')
		return 1;
	if (*s == '_')
		return s[1] == '_' ? 2 : 1;
	return strspn(s, "-");
}

static bool path_valid(const char *s)
{
	for (;;) {
		size_t n = span_lower_alnum(s);

		if (!n)
			return false;
		s += n;
		if (!*s)
			return true;
		n = *s == '/' ? 1 : span_separator(s);
		if (!n)
			return false;
		s += n;
	}
}

/* One label of a host name of n bytes. */
static bool label_valid(const char *s, size_t n)
{
	if (!n || s[0] == '-' || s[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!isascii(s[i]) || !(isalnum((unsigned char)s[i]) || s[i] == '-'))
			return false;
	}
	return true;
}

static bool host_valid(const char *s)
{
	if (*s == '[') {
		size_t n = strspn(s + 1, "0123456789abcdefABCDEF:");

		if (!n || s[n + 1] != ']')
			return false;
		s += n + 2;
	} else {
		for (;;) {
			size_t n = strcspn(s, ".:");

			if (!label_valid(s, n))
				return false;
			s += n;
			if (*s != '.')
				break;
			s++;
		}
	}
	if (!*s)
		return true;
	return *s == ':' && s[1] && !s[1 + strspn(s + 1, "0123456789")];
}

static bool tag_valid(const char *s)
{
	size_t n = strlen(s);

	if (!n || n > TAG_LEN_MAX || !is_word(*s))
		return false;
	for (size_t i = 1; i < n; i++) {
		if (!is_word(s[i]) && s[i] != '.' && s[i] != '-')
			return false;
	}
	return true;
}

static bool has_upper(const char *s)
{
	for (; *s; s++) {
		if (*s >= 'A' && *s <= 'Z')
			return true;
	}
	return false;
}

static struct err *check(const char *text, const struct reference *r)
{
	if (!host_valid(r->host))
		return err_new(ERR_INVALID, "invalid reference format: \"%s\": host \"%s\"", text,
			r->host);
	if (has_upper(r->path))
		return err_new(ERR_INVALID,
			"invalid reference format: repository name (%s) must be lowercase",
			r->path);
	if (!path_valid(r->path))
		return err_new(ERR_INVALID, "invalid reference format: \"%s\": path \"%s\"", text,
			r->path);
	if (strlen(r->path) > PATH_LEN_MAX)
		return err_new(ERR_INVALID, "repository name must not be more than %d characters",
			PATH_LEN_MAX);
	if (*r->tag && !tag_valid(r->tag))
		return err_new(ERR_INVALID, "invalid tag format: \"%s\"", text);
	if (*r->digest && !digest_valid(r->digest))
		return err_new(ERR_INVALID, "invalid digest format: \"%s\"", text);
	return NULL;
}

/* Cut off what follows the separator; "" when it is not there. ERR_INVALID when nothing follows. */
static struct err *cut(char *s, char *separator, const char *text, char **ret)
{
	if (separator && !separator[1])
		return err_new(ERR_INVALID, "invalid reference format: \"%s\"", text);
	*ret = xstrdup(separator ? separator + 1 : "");
	if (separator)
		*separator = '\0';
	return NULL;
}

/* The first ':' of a path starts the tag; one in the host is a port. */
static char *find_tag(char *rest)
{
	char *slash = strchr(rest, '/');

	return strchr(slash ? slash : rest, ':');
}

static struct err *finish(const char *text, struct reference *r, struct reference *ret)
{
	TRY(check(text, r));
	r->name = xasprintf("%s/%s", r->host, r->path);
	*ret = *r;
	*r = REFERENCE_INIT;
	return NULL;
}

struct err *reference_parse(const char *text, struct reference *ret)
{
	autofree char *rest = NULL;
	autoval(reference) r = REFERENCE_INIT;
	char *slash;

	if (strnlen(text, REFERENCE_LEN_MAX + 1) > REFERENCE_LEN_MAX)
		return err_new(ERR_INVALID, "invalid reference format: longer than %d bytes",
			REFERENCE_LEN_MAX);
	rest = xstrdup(text);
	TRY(cut(rest, strchr(rest, '@'), text, &r.digest));
	TRY(cut(rest, find_tag(rest), text, &r.tag));
	slash = strchr(rest, '/');
	if (!slash)
		return err_new(ERR_INVALID, "hostname required: \"%s\"", text);
	r.host = xstrndup(rest, (size_t)(slash - rest));
	r.path = xstrdup(slash + 1);
	return finish(text, &r, ret);
}

/* Whether the text in front of the first slash is a host and not the first part of a path. */
static bool is_host(const char *s)
{
	return strcmp(s, "localhost") == 0 || strpbrk(s, ".:") || has_upper(s);
}

static void split_host(const char *rest, struct reference *r)
{
	const char *slash = strchr(rest, '/');
	autofree char *first = slash ? xstrndup(rest, (size_t)(slash - rest)) : NULL;

	if (first && is_host(first)) {
		r->host = xstrdup(strcmp(first, LEGACY_HOST) == 0 ? DEFAULT_HOST : first);
		rest = slash + 1;
	} else {
		r->host = xstrdup(DEFAULT_HOST);
	}
	if (strcmp(r->host, DEFAULT_HOST) == 0 && !strchr(rest, '/'))
		r->path = xasprintf(OFFICIAL_PREFIX "%s", rest);
	else
		r->path = xstrdup(rest);
}

static bool is_image_id(const char *s)
{
	return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

struct err *reference_parse_short(const char *text, struct reference *ret)
{
	autofree char *rest = NULL;
	autoval(reference) r = REFERENCE_INIT;

	if (strnlen(text, REFERENCE_LEN_MAX + 1) > REFERENCE_LEN_MAX)
		return err_new(ERR_INVALID, "invalid reference format: longer than %d bytes",
			REFERENCE_LEN_MAX);
	if (is_image_id(text))
		return err_new(ERR_INVALID,
			"invalid repository name (%s), cannot specify 64-byte hexadecimal strings",
			text);
	rest = xstrdup(text);
	TRY(cut(rest, strchr(rest, '@'), text, &r.digest));
	TRY(cut(rest, find_tag(rest), text, &r.tag));
	split_host(rest, &r);
	/* A digest says all; a tag beside it must be well formed and is dropped. */
	TRY(check(text, &r));
	if (*r.digest || !*r.tag) {
		free(r.tag);
		r.tag = xstrdup(*r.digest ? "" : DEFAULT_TAG);
	}
	return finish(text, &r, ret);
}

char *reference_format(const struct reference *r)
{
	return xasprintf("%s%s%s%s%s", r->name, *r->tag ? ":" : "", r->tag, *r->digest ? "@" : "",
		r->digest);
}
