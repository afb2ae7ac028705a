"""What a container may ask the kernel for: the model of a seccomp policy, and the default one.

The default policy is Docker's, https://github.com/moby/profiles/tree/main/seccomp, for x86-64 and arm64. Its one
known hole is Docker's too: a 32-bit program on x86-64 can make a socket of any family by socketcall(2), whose
arguments a filter cannot see; refusing it would take the network from every 32-bit Debian image.
"""

from collections.abc import Collection
from dataclasses import dataclass
from errno import ENOSYS, EPERM
from typing import Final

# Arguments are compared by these, as in seccomp.h without "SCMP_CMP_"
OPERATORS: Final = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Argument number `index` against `value`. With MASKED_EQ: argument & value == value_two."""

    index: int
    operator: str
    value: int
    value_two: int = 0


@dataclass(frozen=True, slots=True)
class Action:
    """What happens to a call: seccomp.h's name without "SCMP_ACT_", with the errno of ERRNO and TRACE."""

    kind: str
    errno: int = 0


ALLOW: Final = Action("ALLOW")


@dataclass(frozen=True, slots=True)
class Conditions:
    """About the container and the machine. Architectures have Go's names. Nothing means no condition."""

    capabilities: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    kernel: tuple[int, int] | None = None


NO_CONDITION: Final = Conditions()


@dataclass(frozen=True, slots=True)
class Rule:
    """An action for the calls `names`, if all comparisons hold.

    It counts only if everything in `includes` holds (all capabilities, one of the architectures, at least that
    kernel), and nothing in `excludes` (any capability, any architecture, that kernel or newer).
    """

    names: tuple[str, ...]
    action: Action = ALLOW
    comparisons: tuple[Comparison, ...] = ()
    includes: Conditions = NO_CONDITION
    excludes: Conditions = NO_CONDITION

    def applies(self, capabilities: Collection[str], architecture: str, kernel: tuple[int, int]) -> bool:
        """Whether the rule counts for a container with these capabilities, on this machine."""
        included, excluded = self.includes, self.excludes
        return (
            all(name in capabilities for name in included.capabilities)
            and (not included.architectures or architecture in included.architectures)
            and (included.kernel is None or kernel >= included.kernel)
            and not any(name in capabilities for name in excluded.capabilities)
            and architecture not in excluded.architectures
            and (excluded.kernel is None or kernel < excluded.kernel)
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """`architectures`: SCMP_ARCH_* names beside this machine's own; None for what usually runs on it."""

    default: Action
    rules: tuple[Rule, ...]
    architectures: tuple[str, ...] | None = None

    def capabilities(self) -> frozenset[str]:
        """The capabilities that make a difference."""
        return frozenset(
            name for rule in self.rules for name in (*rule.includes.capabilities, *rule.excludes.capabilities)
        )


_ALWAYS: Final = """
accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime
clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64
close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat
faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat
fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs
fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat
getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer
getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit
get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid getuid32 getxattr
getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy io_getevents
io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill landlock_add_rule
landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr
listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier
memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr
mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl
msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat
openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl
pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead
readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat
rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr
sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval
sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp
select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid
setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32
setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid setsockopt
set_thread_area set_tid_address setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack
signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx
symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun
timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64
timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime
utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
"""

_WITH_CAPABILITY: Final = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules
        lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname
        sethostname setns syslog umount umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module init_module finit_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}

_ON_ARCHITECTURE: Final = {
    ("arm", "arm64"): "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    ("amd64", "x32"): "arch_prctl",
    ("amd64", "x32", "x86"): "modify_ldt",
}

# AF_* of <linux/socket.h>: all but AF_VSOCK (40), which reaches the host of a virtual machine past every network
# namespace, AF_ALG (38), the kernel's crypto, and the dead ones: DECnet, Econet, ATM SVC, IrDA, WANPIPE, ISDN, CAIF
_FIRST_FAMILIES: Final = 12
_FAMILIES: Final = (*range(13, 19), 21, 22, 24, *range(26, 34), 35, 36, 39, *range(41, 46))

# personality(2): PER_LINUX, PER_LINUX32, UNAME26 with each, and the question what it is
_PERSONALITIES: Final = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET of <linux/sched.h>
_NAMESPACE_FLAGS: Final = 0x7E020000
# Before 4.8, a tracer could change a call after the filter had seen it
_SAFE_PTRACE: Final = Conditions(kernel=(4, 8))
_ADMINISTRATOR: Final = Conditions(capabilities=("CAP_SYS_ADMIN",))


def _first_argument(name: str, operator: str, value: int, excludes: Conditions = NO_CONDITION) -> Rule:
    return Rule((name,), comparisons=(Comparison(0, operator, value),), excludes=excludes)


DEFAULT: Final = Policy(
    Action("ERRNO", EPERM),
    (
        Rule(tuple(_ALWAYS.split())),
        Rule(("process_vm_readv", "process_vm_writev", "ptrace"), includes=_SAFE_PTRACE),
        _first_argument("socket", "LT", _FIRST_FAMILIES),
        *(_first_argument("socket", "EQ", family) for family in _FAMILIES),
        *(_first_argument("personality", "EQ", value) for value in _PERSONALITIES),
        *(Rule(tuple(names.split()), includes=Conditions(architectures=on)) for on, names in _ON_ARCHITECTURE.items()),
        *(
            Rule(tuple(names.split()), includes=Conditions(capabilities=(capability,)))
            for capability, names in _WITH_CAPABILITY.items()
        ),
        _first_argument("clone", "MASKED_EQ", _NAMESPACE_FLAGS, excludes=_ADMINISTRATOR),
        # Its flags are in memory, out of a filter's sight. ENOSYS makes C libraries fall back to clone
        Rule(("clone3",), Action("ERRNO", ENOSYS), excludes=_ADMINISTRATOR),
    ),
)
