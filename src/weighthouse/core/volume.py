"""On what kind of volume a path lies. Guards SQLite from file systems that several machines mount at once.

SQLite's write-ahead log needs memory that all its processes share, so all of them must be on one machine. Over a
network the file looks fine until two machines have written to it.
"""

from __future__ import annotations

from pathlib import Path

from weighthouse.core.mounts import unescaped

_CLUSTER = ("afs", "beegfs", "ceph", "gfs2", "glusterfs", "gpfs", "lustre", "ocfs2", "orangefs")
_SERVED = ("9p", "cifs", "ncpfs", "nfs", "nfs4", "smb3", "smbfs", "virtiofs")
_USERS = ("fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs")
SHARED = frozenset((*_CLUSTER, *_SERVED, *_USERS))


def filesystem_of(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Return the type of the file system that `path` lies on (proc(5), mountinfo); empty where nobody can say."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
        target = path.resolve()
    except OSError:
        return ""
    found, depth = "", -1
    for line in lines:
        place, _, described = line.partition(" - ")
        point = Path(unescaped(place.split(" ")[4]))
        # The last of two mounts on one point is the one that is seen.
        if (target == point or point in target.parents) and len(point.parts) >= depth:
            found, depth = described.split(" ")[0], len(point.parts)
    return found
