"""The filter of system calls, judged as the kernel would: what is named is refused, the unknown is absent, work goes on."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighthouse.runs.rules import syscalls

MACHINES = sorted(syscalls.MACHINES)
NO = 0x00050000
# (x86_64, aarch64) of what training code needs.
NEEDED = {"read": (0, 63), "mmap": (9, 222), "futex": (202, 98), "execve": (59, 221), "memfd_create": (319, 279),
          "connect": (42, 203), "clone": (56, 220), "getrandom": (318, 278), "rseq": (334, 293)}  # fmt: skip


def judge(machine: str, number: int, *arguments: int, mark: int | None = None, **where: bool) -> int:
    """Run the program over one call as seccomp(2) does, and return its answer."""
    words = [number, syscalls.MACHINES[machine].mark if mark is None else mark, 0, 0]
    for argument in (*arguments, *[0] * (6 - len(arguments))):
        words += [argument & 0xFFFFFFFF, argument >> 32]
    program = syscalls.program(machine, **where)
    at, held = 0, 0
    while True:
        code, yes, no, value = struct.unpack_from("<HBBI", program, at * 8)
        at += 1
        if code == 0x06:
            return int(value)
        if code == 0x20:
            held = words[value // 4]
        else:
            true = {0x15: held == value, 0x25: held > value, 0x35: held >= value, 0x45: bool(held & value)}[code]
            at += yes if true else no


def number(name: str, machine: str) -> int:
    found = syscalls._ARGUED[name][syscalls.MACHINES[machine].column]
    assert found is not None
    return found


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_named_is_refused_whatever_its_arguments_and_what_work_needs_is_not(machine: str) -> None:
    for name, one in syscalls.refused(machine).items():
        assert judge(machine, one, 2**64 - 1, 7) in (NO | 1, NO | 38), name
    for name, numbers in NEEDED.items():
        assert judge(machine, numbers[syscalls.MACHINES[machine].column]) == syscalls.ALLOW, name


@pytest.mark.parametrize("machine", MACHINES)
@given(one=st.integers(0, 2**32 - 1))
def test_a_number_the_list_has_never_heard_of_is_answered_as_absent(machine: str, one: int) -> None:
    first, last = syscalls.MACHINES[machine].unused
    answer = judge(machine, one)
    if one > syscalls.MACHINES[machine].last or first <= one <= last:
        assert answer == NO | 38
    assert answer == syscalls.ALLOW or answer & 0xFFFF0000 == NO


def test_no_run_asks_the_kernel_which_pages_of_a_shared_file_lie_in_memory() -> None:
    """Bits between environments in turns, at 280 bytes a second: one loads pages, the other looks which."""
    asked = {"mincore": (27, 232), "cachestat": (451, 451)}
    for machine in MACHINES:
        for name, numbers in asked.items():
            assert judge(machine, numbers[syscalls.MACHINES[machine].column]) == NO | 1, name


@pytest.mark.parametrize("machine", MACHINES)
def test_a_run_stays_in_its_session_only_where_each_would_have_a_share_of_the_processor(machine: str) -> None:
    """58 sessions of a run starved the server, its wall clock with it."""
    setsid = (112, 157)[syscalls.MACHINES[machine].column]
    assert judge(machine, setsid) == syscalls.ALLOW
    assert judge(machine, setsid, one_session=True) == NO | 1, "a session that was answered as made and is not"
    assert judge(machine, NEEDED["clone"][syscalls.MACHINES[machine].column], one_session=True) == syscalls.ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_a_run_with_the_servers_own_user_watches_nothing_that_is_counted_for_both(machine: str) -> None:
    """Three processes used up the epoll watches of the user, and the server's new connections were reset."""
    for numbers in ((213, None), (291, 20)):
        one = numbers[syscalls.MACHINES[machine].column]
        if one is not None:
            assert judge(machine, one) == syscalls.ALLOW
            assert judge(machine, one, shared_user=True) == NO | 38


@pytest.mark.parametrize("machine", MACHINES)
def test_a_call_of_another_architecture_ends_the_process(machine: str) -> None:
    assert judge(machine, 0, mark=0x40000003) == syscalls.KILL_PROCESS  # i386 through int 0x80
    assert judge("x86_64", 0x40000000 | 59) == NO | 38  # the x32 table


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("clone", (0x3D0F00,), 0),
        ("clone", (0x10000000 | 17,), NO | 1),
        ("clone", (0x40000000,), NO | 1),
        ("clone", (0x00020000,), NO | 1),
        ("clone", (0x400 | 17,), NO | 1),  # the locks of one that ends would be nobody's
        ("setsockopt", (3, 1, 26), NO | 92),  # a filter, of whose memory the machine has one share
        ("setsockopt", (3, 1, 50), NO | 92),
        ("setsockopt", (3, 1, 51), NO | 92),
        ("setsockopt", (3, 1, 52), NO | 92),
        ("setsockopt", (3, 0xFFFFFFFF00000001, 0xFFFFFFFF0000001A), NO | 92),
        ("setsockopt", (3, 41, 32), NO | 92),  # flow labels, of which the machine has 4096
        ("setsockopt", (3, 6, 31), NO | 92),
        ("setsockopt", (3, 263, 8), NO | 92),
        ("setsockopt", (3, 1, 2), 0),
        ("setsockopt", (3, 6, 1), 0),
        ("setsockopt", (3, 41, 26), 0),
        ("prctl", (22, 2), NO | 22),
        ("prctl", (62, 1), NO | 22),
        ("prctl", (1, 9), 0),
        ("prctl", (0x53564D41, 0), 0),
        ("fcntl", (3, 6), 0),
        ("fcntl", (3, 37), NO | 22),
        ("fcntl", (3, 38), NO | 22),
        ("socket", (1, 1, 0), 0),
        ("socket", (2, 1, 6), 0),
        ("socket", (10, 2, 17), 0),
        ("socket", (2, 3, 1), NO | 93),
        ("socket", (2, 1, 132), NO | 93),
        ("socket", (40, 1, 0), NO | 97),
        ("socket", (16, 3, 0), NO | 97),
        ("socketpair", (1, 1, 0), 0),
        ("socketpair", (16, 1, 0), NO | 97),
        ("ioctl", (0, 0x5413), 0),
        ("ioctl", (0, 0x5401), 0),
        ("ioctl", (0, 0x5412), NO | 25),
        ("ioctl", (0, 0xFFFFFFFF00005412), NO | 25),  # the kernel looks at the low half alone
        ("ioctl", (0, 0x6628), NO | 25),  # EXT4_IOC_CLEAR_ES_CACHE, and the question what is in it
        ("ioctl", (0, 0xC020662A), NO | 25),
        ("ioctl", (0, 0xC020660B), NO | 25),  # FS_IOC_FIEMAP
        ("fcntl", (3, 3), 0),
        ("fcntl", (3, 1030), 0),
        ("fcntl", (3, 1036), NO | 22),  # F_SET_RW_HINT: a byte for each four files, kept by the kernel
        ("fcntl", (3, 1035), NO | 22),
        ("fcntl", (3, 1038), NO | 22),
        ("fcntl", (3, 1024), NO | 22),
        ("madvise", (0, 4096, 12), NO | 22),  # MADV_MERGEABLE
        ("madvise", (0, 4096, 20), NO | 22),  # MADV_COLD
        ("mmap", (0, 4096, 3, 0x22), 0),
        ("mmap", (0, 4096, 3, 0x40022), NO | 12),  # MAP_HUGETLB: of a pool that the whole machine has
        ("memfd_create", (0, 1), 0),
        ("memfd_create", (0, 0x5), NO | 12),
        ("shmget", (0, 4096, 0o1600), 0),
        ("shmget", (0, 4096, 0o5600), NO | 12),
        ("personality", (0xFFFFFFFF,), 0),
        ("personality", (0x0040000,), NO | 1),
        ("fchmodat", (0, 0, 0o755), 0),
        ("fchmodat", (0, 0, 0o4755), NO | 1),
        ("fchmodat", (0, 0, 0o2755), NO | 1),
        ("fchmodat2", (0, 0, 0o4755), NO | 1),
        ("openat", (0, 0, 0, 0o4755), 0),  # without O_CREAT the mode is noise
        ("openat", (0, 0, 0o101, 0o4755), NO | 1),
        ("openat", (0, 0, 0o101, 0o644), 0),
        ("mknodat", (0, 0, 0o10644), 0),
        ("mknodat", (0, 0, 0o104755), NO | 1),
        ("fadvise64", (3, 0, 0, 2), 0),
        ("fadvise64", (3, 0, 0, 4), NO),  # answered as done, and not done
        ("fadvise64", (3, 0, 0, 0xFFFFFFFF00000004), NO),
        ("madvise", (0, 4096, 4), 0),
        ("madvise", (0, 4096, 21), NO | 22),
        ("preadv2", (3, 0, 1, 0, 0, 0), 0),
        ("preadv2", (3, 0, 1, 0, 0, 0x8), NO | 95),
        ("preadv2", (3, 0, 1, 0, 0, 0x9), NO | 95),
        ("preadv2", (3, 0, 1, 0, 0, 0x80), NO | 95),
        ("pwritev2", (3, 0, 1, 0, 0, 0x88), NO | 95),
    ],
)
def test_arguments_decide_where_a_call_is_both_needed_and_dangerous(
    machine: str, name: str, arguments: tuple[int, ...], answer: int
) -> None:
    assert judge(machine, number(name, machine), *arguments) == (answer or syscalls.ALLOW)


@pytest.mark.parametrize("machine", MACHINES)
@given(one=st.integers(0, 2**32 - 1))
def test_a_command_that_no_list_names_is_not_done(machine: str, one: int) -> None:
    """A kernel gets new commands with each version, and each file system has its own."""
    needed = {"fcntl": syscalls._FILE_CONTROLS, "ioctl": syscalls._CONTROLS}
    assert (judge(machine, number("prctl", machine), one) == syscalls.ALLOW) == (one in syscalls._PROCESS_CONTROLS)
    for level in (*syscalls._SOCKET_OPTIONS, one):
        listed = syscalls._SOCKET_OPTIONS.get(level, ())
        assert (judge(machine, number("setsockopt", machine), 3, level, one) == syscalls.ALLOW) == (one in listed)
    for name, listed in needed.items():
        assert (judge(machine, number(name, machine), 3, one) == syscalls.ALLOW) == (one in listed)
    advised = judge(machine, number("madvise", machine), 0, 4096, one)
    assert (advised == syscalls.ALLOW) == (one in syscalls._MEMORY_ADVICE)
