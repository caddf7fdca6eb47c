"""Which system calls a run may make where it shares the host's kernel, as a seccomp program for the kernel to judge.

Guards that kernel, and what no namespace hides: virtual sockets to the hypervisor, the keyrings, io_uring, new user
namespaces, tracing, mounts, modules, the questions that tell which pages of a shared file lie in memory. It is a
second lock behind the namespaces. What is refused by name is listed here with its number; every number that this list
has never heard of is answered as a kernel without it would. Where one number stands for many commands (fcntl, ioctl,
madvise), those that programs need are listed and no other is done: each file system adds its own, and keeps what was
said to it for the next run. And what the kernel counts for the whole machine, or for nobody, is not to be had, where
no limit of a run could bound it: who takes all of it has nobody's next run start.
Sources: seccomp(2); socket(7); fcntl(2); Linux 6.6 arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

ALLOW, KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOMEM, EINVAL, ENOTTY, ENOSYS, EOPNOTSUPP, EAFNOSUPPORT, EPROTONOSUPPORT = 1, 12, 22, 25, 38, 95, 97, 93
ENOPROTOOPT = 92

# (x86_64, aarch64); None where the architecture has no such call.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # reading and steering other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "process_mrelease": (448, 448),
    # other views of the file system
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "fanotify_init": (300, 262), "fanotify_mark": (301, 263),
    # new namespaces, each of which opens parts of the kernel that only root may reach otherwise
    "unshare": (272, 97), "setns": (308, 268),
    # what the whole machine shares
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "syslog": (103, 116), "acct": (163, 89),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "swapon": (167, 224), "swapoff": (168, 225),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "sethostname": (170, 161), "setdomainname": (171, 162), "reboot": (169, 142), "vhangup": (153, 58),
    # code in the kernel, and parts of it with a record of ways out
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None),
    "memfd_secret": (447, 447), "move_pages": (279, 239), "migrate_pages": (256, 238), "mbind": (237, 235),
    "set_mempolicy": (238, 237), "get_mempolicy": (239, 236), "set_mempolicy_home_node": (450, 450),
    "lookup_dcookie": (212, 18), "nfsservctl": (180, 42), "uselib": (134, None), "ustat": (136, None),
    "sysfs": (139, None), "_sysctl": (156, None),
    # which pages of a file that several runs may read lie in memory: one drops or loads them, another looks
    "mincore": (27, 232), "cachestat": (451, 451),
}  # fmt: skip
# Answered as if the kernel were older, because programs know how to do without them, and their arguments lie in
# memory where a filter cannot read them.
_ABSENT: dict[str, tuple[int | None, int | None]] = {
    "clone3": (435, 435), "openat2": (437, 437),
    # Telling when somebody else opens a shared file, which is telling bits.
    "inotify_init": (253, None), "inotify_init1": (294, 26),
    # Of what it sets up the whole machine has 65536 (fs.aio-max-nr), which one run took; nothing else could have any.
    "io_setup": (206, 0), "io_submit": (209, 2), "io_pgetevents": (333, 292),
    # A filter is compiled into memory that the machine has once (net.core.bpf_jit_limit): four processes took all of
    # it, and no sandbox started any more. By `prctl` and by sockets as well, see there.
    "seccomp": (317, 277),
    # Semaphores and queues of System V: of an ordinary user's run nobody counts them. Those of POSIX are files.
    "semget": (64, 190), "msgget": (68, 186),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
}  # fmt: skip
# Refused where each new session would get a share of the processor of its own: 58 of them starve a server. Never
# answered as done: who then ends the group of a helper, which is the run's own, ends the run.
_SESSION: dict[str, tuple[int | None, int | None]] = {"setsid": (112, 157)}
# Absent where a run has the server's own user id: the kernel counts what is watched by user, beyond every namespace,
# and who has used up that count lets the server accept nobody. Programs fall back to poll(2). Source: epoll(7).
_COUNTED: dict[str, tuple[int | None, int | None]] = {"epoll_create": (213, None), "epoll_create1": (291, 20)}
_ARGUED: dict[str, tuple[int | None, int | None]] = {
    "clone": (56, 220), "socket": (41, 198), "socketpair": (53, 199), "ioctl": (16, 29), "personality": (135, 92),
    "fcntl": (72, 25), "fadvise64": (221, 223), "preadv2": (327, 286), "pwritev2": (328, 287), "madvise": (28, 233),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "creat": (85, None),
    "mknod": (133, None), "mknodat": (259, 33), "open": (2, None), "openat": (257, 56),
    "mmap": (9, 222), "memfd_create": (319, 279), "shmget": (29, 194),
    "setsockopt": (54, 208), "prctl": (157, 167),
}  # fmt: skip

_NAMESPACES = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
# A process that shares another's open files would leave its locks to it when it ends, under a name that is gone.
_FILES, _THREAD = 0x400, 0x10000
_UNIX, _INET, _INET6 = 1, 2, 10
_PROTOCOLS = (0, 6, 17)  # any, TCP, UDP: others would load a module of the kernel
# Of a terminal's own settings and sizes, what may be read or is not to be waited for, closing on execution. Not among
# them: words put into somebody's terminal, and whatever a file system answers (hints, extents, caches, clones).
_CONTROLS = (
    0x5401, 0x5402, 0x5403, 0x5404, 0x5409, 0x540B, 0x540E, 0x540F, 0x5410, 0x5413, 0x5414, 0x5422, 0x5429,
    0x802C542A, 0x402C542B, 0x402C542C, 0x402C542D, 0x80045430, 0x40045431, 0x5441,
    0x541B, 0x5421, 0x5450, 0x5451,
)  # fmt: skip
# F_DUPFD, F_[GS]ETFD, F_[GS]ETFL, locks of a process, F_DUPFD_CLOEXEC, F_[GS]ETPIPE_SZ, seals of a memory file. Not
# among them: leases and notices, which tell when somebody else opens a file, a file's hints, and locks of an open
# file (F_OFD_*), of which the kernel does not say whose they are, so that nobody could count them (`adapters.locks`).
_FILE_CONTROLS = (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1031, 1032, 1033, 1034)
# POSIX_FADV_NORMAL to WILLNEED, and NOREUSE; DONTNEED takes a shared file out of memory, which another run can time.
_FILE_ADVICE = (0, 1, 2, 3, 5)
# MADV_NORMAL to DONTNEED, FREE to DOFORK, huge pages, dumps, what a fork keeps, MADV_POPULATE. Not among them: what
# moves pages of a shared file towards the disk (COLD, PAGEOUT), or merges equal pages of several runs (MERGEABLE).
_MEMORY_ADVICE = (0, 1, 2, 3, 4, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 22, 23)
# By level: what sets waiting, sizes, times and addresses of one socket. Not among them: filters (SO_ATTACH_FILTER,
# _BPF, _REUSEPORT_CBPF, _EBPF), see `seccomp`; IPV6_FLOWLABEL_MGR, of whose labels the machine has 4096; pages pinned
# for sending; protocols over TCP, multicast and IPsec.
_SOCKET_OPTIONS = {
    1: (2, 5, 6, 7, 8, 9, 10, 12, 13, 15, 16, 18, 20, 21, 27, 29, 34, 35, 37, 40, 42, 46, 63, 64, 65, 66, 67, 76),
    0: (1, 2, 6, 7, 8, 10, 11, 12, 13, 14, 19, 20, 24, 32, 33, 34, 51),
    6: (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 17, 18, 23, 24, 25, 30, 36, 37),
    17: (1, 103, 104),
    41: (16, 17, 18, 19, 23, 24, 25, 26, 49, 51, 62, 66, 67, 70, 72),
}
# Of `prctl`: death signals, dumps, names, rights (a run has none), timer slack, reapers, speculation, modes of the
# processor, names of memory, who may trace. Not among them: filters, sharing of processor cores, tables of futexes.
_PROCESS_CONTROLS = (
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34,
    36, 37, 38, 39, 40, 41, 42, 45, 46, 47, 50, 51, 52, 53, 54, 55, 56, 60, 61, 63, 64, 65, 66,
    0x53564D41, 0x59616D61,
)  # fmt: skip
_NOWAIT = 0x8 | 0x80  # RWF_NOWAIT answers whether a page lies in memory; RWF_DONTCACHE drops it after reading
_PLAIN = (0, 0xFFFFFFFF)  # of `personality`: as usual, and the question which one it is
_SET_ID = 0o6000
# Of the machine's own pool of large pages: MAP_HUGETLB, MFD_HUGETLB, SHM_HUGETLB, each with its position.
_HUGE = {"mmap": (3, 0x40000), "memfd_create": (1, 0x4), "shmget": (2, 0o4000)}
_CREATES = 0o100 | 0o20000000  # O_CREAT, O_TMPFILE
_MODES = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "creat": 1, "mknod": 1, "mknodat": 2}
_OPENS = {"open": (1, 2), "openat": (2, 3)}  # positions of the flags and of the mode


class Machine(msgspec.Struct, frozen=True):
    """One architecture: its mark in a filter's data, its column above, its last known call, its unused numbers."""

    mark: int
    column: int
    last: int = 456
    unused: tuple[int, int] = (335, 423)


MACHINES = {"x86_64": Machine(0xC000003E, 0), "aarch64": Machine(0xC00000B7, 1, unused=(295, 423))}

Step = tuple[int, int, int, int]  # code, jump if true, jump if false, value
_LOAD, _EQUAL, _ABOVE, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x06


def refused(machine: str) -> dict[str, int]:
    """Return the calls that are refused whatever their arguments, with their numbers."""
    return _numbers({**_REFUSED, **_ABSENT}, MACHINES[machine])


def program(machine: str, *, one_session: bool = False, shared_user: bool = False) -> bytes:
    """Return the filter as an array of `struct sock_filter`; raises KeyError for an architecture without a table.

    With `one_session` the run stays in the session that it was started in; with `shared_user` it takes nothing that
    the kernel counts for the server as well.
    """
    one = MACHINES[machine]
    steps: list[Step] = [_load(4), (_EQUAL, 1, 0, one.mark), _give(KILL_PROCESS), _load(0)]
    steps += [(_ABOVE, 0, 1, one.last), _no(ENOSYS)]
    steps += [(_AT_LEAST, 0, 2, one.unused[0]), (_ABOVE, 1, 0, one.unused[1]), _no(ENOSYS)]
    tables = [(_REFUSED, EPERM), (_ABSENT, ENOSYS)]
    tables += [(_SESSION, EPERM)] if one_session else []
    tables += [(_COUNTED, ENOSYS)] if shared_user else []
    for table, code in tables:
        for number in _numbers(table, one).values():
            steps += [(_EQUAL, 0, 1, number), _no(code)]
    for name, number in _numbers(_ARGUED, one).items():
        block = _argued(name)
        steps += [(_EQUAL, 0, len(block), number), *block]
    steps.append(_give(ALLOW))
    return b"".join(struct.pack("<HBBI", *step) for step in steps)


def _numbers(table: dict[str, tuple[int | None, int | None]], machine: Machine) -> dict[str, int]:
    found = {name: numbers[machine.column] for name, numbers in table.items()}
    return {name: number for name, number in found.items() if number is not None}


def _argued(name: str) -> list[Step]:
    """Return the steps that judge the arguments of one call; they always end in an answer."""
    if name in _MODES:
        return [_argument(_MODES[name]), (_ANY_BIT, 0, 1, _SET_ID), _no(EPERM), _give(ALLOW)]
    if name in _OPENS:
        flags, mode = _OPENS[name]
        creates: list[Step] = [_argument(flags), (_ANY_BIT, 0, 3, _CREATES)]
        return [*creates, _argument(mode), (_ANY_BIT, 0, 1, _SET_ID), _no(EPERM), _give(ALLOW)]
    if name in _HUGE:
        position, flag = _HUGE[name]
        return [_argument(position), (_ANY_BIT, 0, 1, flag), _no(ENOMEM), _give(ALLOW)]  # as where the pool is empty
    if name == "clone":
        shared: list[Step] = [(_ANY_BIT, 0, 2, _FILES), (_ANY_BIT, 1, 0, _THREAD), _no(EPERM)]
        return [_argument(0), (_ANY_BIT, 0, 1, _NAMESPACES), _no(EPERM), *shared, _give(ALLOW)]
    if name == "setsockopt":
        return _by_level()
    if name == "prctl":
        return [_argument(0), *_unless(_PROCESS_CONTROLS, _ERRNO | EINVAL, ALLOW)]
    if name == "ioctl":
        return [_argument(1), *_unless(_CONTROLS, _ERRNO | ENOTTY, ALLOW)]
    if name == "fcntl":
        return [_argument(1), *_unless(_FILE_CONTROLS, _ERRNO | EINVAL, ALLOW)]
    if name == "fadvise64":
        # Answered as done, for it is advice: programs that drop their own files go on.
        return [_argument(3), *_unless(_FILE_ADVICE, _ERRNO, ALLOW)]
    if name == "madvise":
        return [_argument(2), *_unless(_MEMORY_ADVICE, _ERRNO | EINVAL, ALLOW)]
    if name in ("preadv2", "pwritev2"):
        return [_argument(5), (_ANY_BIT, 0, 1, _NOWAIT), _no(EOPNOTSUPP), _give(ALLOW)]
    if name == "personality":
        return [_argument(0), *_unless(_PLAIN, _ERRNO | EPERM, ALLOW)]
    if name == "socketpair":
        return [_argument(0), *_unless((_UNIX,), _ERRNO | EAFNOSUPPORT, ALLOW)]
    protocol = [_argument(2), *_unless(_PROTOCOLS, _ERRNO | EPROTONOSUPPORT, ALLOW)]
    family: list[Step] = [(_EQUAL, 0, 1, _UNIX), _give(ALLOW), (_EQUAL, 2, 0, _INET), (_EQUAL, 1, 0, _INET6)]
    return [_argument(0), *family, _no(EAFNOSUPPORT), *protocol]


def _by_level() -> list[Step]:
    """Return the steps that judge an option of a socket by its level; what is not listed is no option here."""
    steps = [_argument(1)]
    for level, options in _SOCKET_OPTIONS.items():
        judged = [_argument(2), *_unless(options, _ERRNO | ENOPROTOOPT, ALLOW)]
        steps += [(_EQUAL, 0, len(judged), level), *judged]
    return [*steps, _no(ENOPROTOOPT)]


def _unless(values: Sequence[int], otherwise: int, answer: int) -> list[Step]:
    """Return `answer` for one of the values, `otherwise` for anything else."""
    steps: list[Step] = []
    for value in values:
        steps += [(_EQUAL, 0, 1, value), _give(answer)]
    return [*steps, _give(otherwise)]


def _argument(position: int) -> Step:
    return _load(16 + 8 * position)  # the low half; both architectures are little-endian, and all these are ints


def _load(offset: int) -> Step:
    return (_LOAD, 0, 0, offset)


def _give(value: int) -> Step:
    return (_RETURN, 0, 0, value)


def _no(code: int) -> Step:
    return _give(_ERRNO | code)
