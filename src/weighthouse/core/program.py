"""Which program this is. Guards what was said of one build from being taken for what another one does.

The release is not enough: a guard can be taken out of an installed file without a new number. So the program is the
digest of every file of the package, as they lay there when this process first loaded them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

PACKAGE = Path(__file__).parent.parent


def digest_of(package: Path) -> str:
    """Return one digest over the names and contents of all files of a package, but what Python compiled of them."""
    found = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            found.update(f"{path.relative_to(package).as_posix()}\0{content}\n".encode("utf-8", "surrogatepass"))
    return f"sha256:{found.hexdigest()}"


PROGRAM = digest_of(PACKAGE)
