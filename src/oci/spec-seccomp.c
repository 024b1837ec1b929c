// SPDX-License-Identifier: Apache-2.0
/*
 * The seccomp profile that containers get by default: all system calls that programs use are
 * allowed, those that reach around a container are not, unless a capability says so. What is on no
 * list fails with EPERM. The lists follow containerd's, so that a container sees the same under
 * both.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "oci/spec-internal.h"

#define ALLOW "SCMP_ACT_ALLOW"
#define ERRNO "SCMP_ACT_ERRNO"

/* Allowed to everybody; ptrace since a tracee's calls are filtered too (Linux 4.8). */
static const char base_calls[] =
	"_llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset "
	"chdir chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 "
	"clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range "
	"connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl "
	"epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve "
	"execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate "
	"fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 "
	"fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 "
	"fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 "
	"futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu "
	"getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups "
	"getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom "
	"getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname "
	"getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch "
	"inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents "
	"io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc "
	"kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 "
	"lgetxattr link linkat listen listmount listxattr listxattrat llistxattr lremovexattr "
	"lseek lsetxattr lsm_get_self_attr lsm_list_modules lsm_set_self_attr lstat lstat64 "
	"madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat "
	"mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open "
	"mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap "
	"mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at "
	"nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 "
	"pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 "
	"prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6 pselect6_time64 "
	"ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom "
	"recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename "
	"renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask "
	"rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 "
	"rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity "
	"sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval "
	"sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam "
	"sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop "
	"semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list "
	"set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 "
	"setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid "
	"setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid "
	"setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd "
	"signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 "
	"statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time "
	"timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime "
	"timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime "
	"timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat "
	"uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid "
	"write writev";

#if defined(__x86_64__)
static const char *const architectures[] = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
static const char arch_calls[] = "arch_prctl modify_ldt";
#elif defined(__i386__)
static const char *const architectures[] = {"SCMP_ARCH_X86"};
static const char arch_calls[] = "modify_ldt";
#elif defined(__aarch64__) || defined(__arm__)
static const char *const architectures[] = {"SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"};
static const char arch_calls[] =
	"arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2";
#elif defined(__powerpc64__)
static const char *const architectures[] = {"SCMP_ARCH_PPC64LE"};
static const char arch_calls[] = "sync_file_range2 swapcontext";
#elif defined(__s390x__)
static const char *const architectures[] = {"SCMP_ARCH_S390", "SCMP_ARCH_S390X"};
static const char arch_calls[] = "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr";
#elif defined(__riscv)
static const char *const architectures[] = {"SCMP_ARCH_RISCV64"};
static const char arch_calls[] = "riscv_flush_icache riscv_hwprobe";
#elif defined(__loongarch64)
static const char *const architectures[] = {"SCMP_ARCH_LOONGARCH64"};
static const char arch_calls[] = "";
#else
static const char *const architectures[] = {"SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64"};
static const char arch_calls[] = "";
#endif

/* Where clone(2) has its flags. */
#ifdef __s390x__
#define CLONE_FLAGS_ARG 1
#else
#define CLONE_FLAGS_ARG 0
#endif

#define CLONE_NAMESPACES                                                                           \
	(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | \
		CLONE_NEWCGROUP)

/* Allowed to those who have the capability in their bounding set. */
static const struct {
	const char *cap, *calls;
} cap_calls[] = {
	{"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
	{"CAP_SYS_ADMIN",
		"bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie "
		"mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd "
		"setdomainname sethostname setns syslog umount umount2 unshare"},
	{"CAP_SYS_BOOT", "reboot"},
	{"CAP_SYS_CHROOT", "chroot"},
	{"CAP_SYS_MODULE", "delete_module finit_module init_module"},
	{"CAP_SYS_PACCT", "acct"},
	{"CAP_SYS_PTRACE",
		"kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"},
	{"CAP_SYS_RAWIO", "ioperm iopl"},
	{"CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"},
	{"CAP_SYS_TTY_CONFIG", "vhangup"},
	{"CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
	{"CAP_SYSLOG", "syslog"},
	{"CAP_BPF", "bpf"},
	{"CAP_PERFMON", "perf_event_open"},
};

static const uint64_t personalities[] = {
	PER_LINUX, PER_LINUX32, UNAME26, PER_LINUX32 | UNAME26, 0xffffffff};

/* One condition on the argument of a call. */
struct condition {
	unsigned index;
	uint64_t value;
	const char *op;
};

/* One allowed call each. Kernel interfaces out of reach of namespaces (AF_ALG, AF_VSOCK) match none
 * of the three; a rule must not test one argument twice, since runtimes make it an "or". */
static const struct condition socket_conditions[] = {
	{0, AF_ALG, "SCMP_CMP_LT"},
	{0, AF_ALG + 1, "SCMP_CMP_EQ"},
	{0, AF_VSOCK, "SCMP_CMP_GT"},
};

static struct json_object *add_rule(
	struct json_object *rules, const char *calls, const char *action)
{
	struct json_object *rule = json_object_new_object();
	autoval(strv) names = STRV_INIT;

	strv_split(&names, calls, ' ');
	json_object_object_add(rule, "names", spec_strings(&names));
	spec_put_string(rule, "action", action);
	json_object_array_add(rules, rule);
	return rule;
}

static void add_conditional(struct json_object *rules, const char *call, const struct condition *c)
{
	struct json_object *rule = add_rule(rules, call, ALLOW);
	struct json_object *arg = json_object_new_object();

	spec_put_int(arg, "index", c->index);
	json_object_object_add(arg, "value", json_object_new_uint64(c->value));
	spec_put_string(arg, "op", c->op);
	json_object_array_add(spec_array(rule, "args"), arg);
}

static void add_argument_rules(struct json_object *rules)
{
	for (size_t i = 0; i < ARRAY_LEN(socket_conditions); i++)
		add_conditional(rules, "socket", &socket_conditions[i]);
	for (size_t i = 0; i < ARRAY_LEN(personalities); i++) {
		struct condition c = {0, personalities[i], "SCMP_CMP_EQ"};

		add_conditional(rules, "personality", &c);
	}
}

/* Without CAP_SYS_ADMIN no namespaces: clone(2) is tested, and clone3(2), whose flags a filter
 * cannot see, pretends not to be there, so that callers go back to clone(2). */
static void add_unprivileged_rules(struct json_object *rules)
{
	static const struct condition no_namespaces = {
		CLONE_FLAGS_ARG, CLONE_NAMESPACES, "SCMP_CMP_MASKED_EQ"};
	struct json_object *rule;

	add_conditional(rules, "clone", &no_namespaces);
	rule = add_rule(rules, "clone3", ERRNO);
	spec_put_int(rule, "errnoRet", ENOSYS);
}

void spec_set_seccomp_default(struct json_object *spec)
{
	struct json_object *bounding = spec_array(spec, "process.capabilities.bounding");
	struct json_object *profile = json_object_new_object();
	struct json_object *rules = json_object_new_array();
	autoval(strv) archs = STRV_INIT;

	for (size_t i = 0; i < ARRAY_LEN(architectures); i++)
		strv_add(&archs, architectures[i]);
	spec_put_string(profile, "defaultAction", ERRNO);
	json_object_object_add(profile, "architectures", spec_strings(&archs));
	add_rule(rules, base_calls, ALLOW);
	add_argument_rules(rules);
	if (*arch_calls)
		add_rule(rules, arch_calls, ALLOW);
	for (size_t i = 0; i < ARRAY_LEN(cap_calls); i++) {
		if (spec_array_has(bounding, cap_calls[i].cap))
			add_rule(rules, cap_calls[i].calls, ALLOW);
	}
	if (!spec_array_has(bounding, "CAP_SYS_ADMIN"))
		add_unprivileged_rules(rules);
	json_object_object_add(profile, "syscalls", rules);
	json_object_object_add(spec_object(spec, "linux"), "seccomp", profile);
}
