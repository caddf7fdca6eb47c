"""What usual programs look for in a machine: a user with a name, `localhost`, the machine's own name, a home.

Guards the host's own files from being shown instead: every run finds the same few lines, made here, and learns from
them nothing about the server. Names are read from files alone, so that asking for one never waits for a network.
"""

from __future__ import annotations

USER = "run"
HOME = "/tmp/home"  # noqa: S108  inside the sandbox; the guard makes it, and it ends with the run
VARIABLES = {"HOME": HOME, "USER": USER, "LOGNAME": USER}


def hostname(run: str) -> str:
    """Return the name of a run's machine: the run's own, in the letters that names of machines may have."""
    return run.replace("_", "-")[:63]


def files(run: str, uid: int) -> dict[str, str]:
    """Return the files below /etc by path; `uid` is the user that the run has inside."""
    name = hostname(run)
    return {
        "/etc/passwd": f"{USER}:x:{uid}:{uid}:run:{HOME}:/bin/sh\n",
        "/etc/group": f"{USER}:x:{uid}:\n",
        "/etc/hosts": f"127.0.0.1 localhost {name}\n::1 localhost {name}\n",
        "/etc/hostname": f"{name}\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n",
    }
