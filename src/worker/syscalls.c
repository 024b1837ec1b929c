// SPDX-License-Identifier: Apache-2.0
#include "worker/syscalls.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static void seccomp_release_p(scmp_filter_ctx *f)
{
	if (*f)
		seccomp_release(*f);
}

/* Memory, threads, time, and reading what is open or below the root. */
static const char *const always[] = {"brk", "clock_getres", "clock_gettime", "clock_nanosleep",
	"close", "dup", "exit", "exit_group", "fadvise64", "fcntl", "fchdir", "fgetxattr",
	"flistxattr", "fstat", "futex", "getdents64", "getegid", "geteuid", "getgid", "getpid",
	"getrandom", "gettid", "gettimeofday", "getuid", "lgetxattr", "llistxattr", "lseek",
	"madvise", "membarrier", "mremap", "munmap", "nanosleep", "newfstatat", "openat", "openat2",
	"poll", "pread64", "read", "readlinkat", "readv", "restart_syscall", "rseq", "rt_sigaction",
	"rt_sigprocmask", "rt_sigreturn", "sched_getaffinity", "sched_yield", "set_robust_list",
	"sigaltstack", "statx", "sysinfo", "tgkill", "umask", "uname", "write", "writev"};

static const char *const writing[] = {"fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat",
	"fsetxattr", "ftruncate", "linkat", "lsetxattr", "mkdirat", "mknodat", "pwrite64",
	"renameat", "renameat2", "symlinkat", "sync_file_range", "syncfs", "unlinkat", "utimensat"};

static struct err *allow(scmp_filter_ctx f, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int call = seccomp_syscall_resolve_name(names[i]);
		int r;

		/* A call that this library or this machine does not know is not made either. */
		if (call < 0)
			continue;
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 0);
		if (r < 0)
			return err_sys(-r, "confine: allow %s", names[i]);
	}
	return NULL;
}

/* Calls that are allowed with some arguments only: memory that is not executable, threads but no
 * processes, a thread's name. libc takes ENOSYS from clone3 as "use clone". */
static struct err *allow_partly(scmp_filter_ctx f)
{
	const struct scmp_arg_cmp no_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	const struct scmp_arg_cmp thread = SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD);
	const struct scmp_arg_cmp set_name = SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME);
	int r = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, &no_exec);

	if (r == 0)
		r = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, &no_exec);
	if (r == 0)
		r = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, &thread);
	if (r == 0)
		r = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, &set_name);
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return r < 0 ? err_sys(-r, "confine: a system call filter") : NULL;
}

struct err *syscalls_confine(bool writes_files)
{
	__attribute__((cleanup(seccomp_release_p))) scmp_filter_ctx f =
		seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r;

	if (!f)
		return err_new(ERR_INTERNAL, "confine: a system call filter");
	TRY(allow(f, always, ARRAY_LEN(always)));
	if (writes_files)
		TRY(allow(f, writing, ARRAY_LEN(writing)));
	TRY(allow_partly(f));
	r = seccomp_load(f);
	if (r < 0)
		return err_sys(
			-r, "confine: this kernel or its supervisor refuses a system call filter");
	return NULL;
}
