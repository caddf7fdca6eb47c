"""What usual programs expect of a machine, in every driver: a named user, `localhost`, a home, room to import."""

from __future__ import annotations

import json
from pathlib import Path

from tests.ports.benches import Bench

ASK = """
import getpass, grp, json, os, pwd, socket, time
home = os.path.expanduser('~'); open(os.path.join(home, 'x'), 'w').close()
began = time.monotonic()
try: socket.gethostbyname('no-such-name.example'); wrong = 'found'
except OSError: wrong = time.monotonic() - began < 2
print(json.dumps([getpass.getuser(), pwd.getpwuid(os.getuid()).pw_dir == home, grp.getgrgid(os.getgid()).gr_name,
    socket.gethostbyname('localhost'), socket.gethostname(), socket.gethostbyname(socket.gethostname()), wrong,
    sorted(os.listdir('/etc'))]))
"""


def test_a_run_finds_a_user_a_home_localhost_and_its_own_name_and_nothing_of_the_host(bench: Bench) -> None:
    done = bench.run(ASK)
    assert done.status == 0, done.err
    *said, shown = json.loads(done.out[-1])
    assert said == ["run", True, "run", "127.0.0.1", "run-test", "127.0.0.1", True]
    assert set(shown) <= {"group", "hostname", "hosts", "ld.so.cache", "localtime", "nsswitch.conf", "passwd"}


def test_what_a_library_only_maps_is_no_memory(bench: Bench) -> None:
    """PyTorch maps 3.2 GB to be imported; a limit of the address space refuses it."""
    done = bench.run(
        "import mmap\n"
        "with open('/tmp/library', 'wb') as f: f.truncate(256 << 20)\n"
        "f = open('/tmp/library', 'rb')\n"
        "held = [mmap.mmap(f.fileno(), 256 << 20, prot=mmap.PROT_READ) for _ in range(14)]\n"
        "print('mapped', len(held))",
        memory_bytes=512 << 20,
    )
    assert done.out == ["mapped 14"], (done.status, done.err)


def test_a_request_to_end_reaches_the_code_which_may_save_and_say_so_by_its_status(bench: Bench) -> None:
    handle = bench.start(
        "import os, signal, sys, time\n"
        "def end(*_): os.write(1, b'saved\\n'); sys.exit(7)\n"
        "signal.signal(signal.SIGTERM, end); print('going', flush=True)\n"
        "while True: time.sleep(1)"
    )
    said = handle.lines(20_000)
    handle.terminate()
    status = handle.wait(20_000)
    said += handle.lines(0)
    handle.stop()
    handle.terminate()  # asking what has ended is no error
    assert (status, [line.text for line in said]) == (7, ["going", "saved"])


def test_code_that_does_not_listen_ends_by_the_signal(bench: Bench) -> None:
    handle = bench.start("import time; print('going', flush=True); time.sleep(600)")
    assert handle.lines(20_000)
    handle.terminate()
    assert handle.wait(20_000) == 128 + 15
    handle.stop()


def test_a_prompt_and_a_progress_bar_are_seen_while_the_code_waits(bench: Bench, tmp_path: Path) -> None:
    handle = bench.start("import time; print('\\r 10%', end='', flush=True); time.sleep(600)")
    said = handle.lines(30_000)
    handle.stop()
    assert [line.text for line in said] == [" 10%"]


def test_limits_of_files_are_the_ones_that_were_set(bench: Bench) -> None:
    done = bench.run(
        "import errno, os\n"
        "f = open('/tmp/big', 'wb'); f.truncate(3 << 20)\n"
        "try: f.truncate(5 << 20); print('LARGER')\nexcept OSError as error: print(errno.errorcode[error.errno])\n"
        "held = []\n"
        "try:\n    while True: held.append(os.open('/tmp/big', os.O_RDONLY))\n"
        "except OSError as error: print(errno.errorcode[error.errno], len(held) > 80)",
        file_bytes=4 << 20, files=100,
    )  # fmt: skip
    assert done.out == ["EFBIG", "EMFILE True"], (done.out, done.err)
