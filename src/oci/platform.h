// SPDX-License-Identifier: Apache-2.0
/* Platforms, "os[(version[+feature...])]/arch[/variant]", as containerd's clients write them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/strv.h"

#define PLATFORM_HOST_OS "linux"
#if defined(__x86_64__)
#define PLATFORM_HOST_ARCH "amd64"
#elif defined(__aarch64__)
#define PLATFORM_HOST_ARCH "arm64"
#elif defined(__arm__)
#define PLATFORM_HOST_ARCH "arm"
#elif defined(__i386__)
#define PLATFORM_HOST_ARCH "386"
#elif defined(__riscv) && __riscv_xlen == 64
#define PLATFORM_HOST_ARCH "riscv64"
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define PLATFORM_HOST_ARCH "ppc64le"
#elif defined(__s390x__)
#define PLATFORM_HOST_ARCH "s390x"
#elif defined(__loongarch64)
#define PLATFORM_HOST_ARCH "loong64"
#elif defined(__mips64) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define PLATFORM_HOST_ARCH "mips64le"
#else
#error "name this architecture as Go does"
#endif

struct platform {
	char *os, *architecture, *variant; /* never NULL once parsed; normalised */
	char *os_version;
	struct strv os_features;
};

#define PLATFORM_INIT ((struct platform){0})

void platform_done(struct platform *p);
DEFINE_AUTOVAL(platform, platform_done);
void platform_copy(struct platform *to, const struct platform *from);
/* Also "linux", "arm64", "x86_64" alone: the rest is the host's. ERR_INVALID. */
CHECKED struct err *platform_parse(const char *text, struct platform *ret);
/* Bring the spellings to GOOS/GOARCH names: "x86_64" -> amd64, "aarch64" -> arm64 without v8,
 * "arm" -> arm/v7. NULL members become "". */
void platform_normalize(struct platform *p);
/* "linux/arm/v7"; caller frees. */
char *platform_format(const struct platform *p);
/* "linux(10.0+feature)/amd64"; caller frees. */
char *platform_format_all(const struct platform *p);
/* This machine, with its variant. */
void platform_host(struct platform *ret);

/*
 * How well an image's platform serves a wanted one: 0 not at all, larger is better (its own, then
 * lower variants of the same architecture, then what a 64-bit machine can run besides: arm on
 * arm64).
 */
int platform_match(const struct platform *wanted, const struct platform *offered);
