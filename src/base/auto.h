// SPDX-License-Identifier: Apache-2.0
/*
 * Scope-bound ownership. A variable marked autofree, autofd or autoptr(T) is released when it goes
 * out of scope; TAKE() and TAKE_FD() hand the value on. Always initialise at the declaration.
 */
#pragma once

#include <stdlib.h>
#include <unistd.h>

static inline void auto_free_p(void *p)
{
	free(*(void **)p);
}

static inline void auto_close_p(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define autofree __attribute__((cleanup(auto_free_p)))
#define autofd __attribute__((cleanup(auto_close_p))) int

/* DEFINE_AUTOPTR(thing, thing_free) makes `autoptr(thing) t = NULL;` release by thing_free(t). */
#define DEFINE_AUTOPTR(T, destroy)                                                                 \
	static inline void auto_##T##_p(struct T **p)                                              \
	{                                                                                          \
		if (*p)                                                                            \
			destroy(*p);                                                               \
	}                                                                                          \
	struct auto_##T##_defined

/* DEFINE_AUTOVAL(thing, thing_done) makes `autoval(thing) t = ...;` release by thing_done(&t). */
#define DEFINE_AUTOVAL(T, done)                                                                    \
	static inline void autoval_##T##_p(struct T *p)                                            \
	{                                                                                          \
		done(p);                                                                           \
	}                                                                                          \
	struct autoval_##T##_defined

#define autoptr(T) __attribute__((cleanup(auto_##T##_p))) struct T *
#define autoval(T) __attribute__((cleanup(autoval_##T##_p))) struct T

#define TAKE(p)                                                                                    \
	({                                                                                         \
		__typeof__(p) *take_from_ = &(p);                                                  \
		__typeof__(p) taken_ = *take_from_;                                                \
		*take_from_ = NULL;                                                                \
		taken_;                                                                            \
	})

#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int *take_from_ = &(fd);                                                           \
		int taken_ = *take_from_;                                                          \
		*take_from_ = -1;                                                                  \
		taken_;                                                                            \
	})

#define CHECKED __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#ifndef container_of
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#endif
