"""One or two lines for each noun that one can type as they stand. Guards help from saying only what there is.

Each is parsed by a test against the real commands, so that none grows stale.
"""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "demo": ("weighthouse demo --script",),
    "init": ("weighthouse init --state ./lab --passphrase-file ./passphrase",),
    "serve": ("weighthouse serve --state ./lab --port 8040",),
    "doctor": ("weighthouse doctor --state ./lab",),
    "keys": ("weighthouse keys status --state ./lab", "weighthouse keys rewrap model/tern --state ./lab"),
    "config": ("weighthouse config explain server.port",),
    "login": ("weighthouse login --enrol laptop", "weighthouse --server https://weighthouse.example login"),
    "logout": ("weighthouse logout",),
    "whoami": ("weighthouse whoami -o json",),
    "devices": ("weighthouse devices enrol --name laptop",),
    "search": ("weighthouse search tern checkpoint --action weights.load",),
    "request": (
        "weighthouse request",
        'weighthouse request new tern-load model/tern --for 2h --reason "Loss study 7"',
    ),
    "grant": ("weighthouse grant list -o json", "weighthouse grant give-back grt_…"),
    "weights": ("weighthouse weights versions model/tern", "weighthouse weights lineage ver_…"),
    "run": (
        "weighthouse run submit --model model/wren --dataset dataset/stdlib --code train.py --follow python train.py",
    ),
    "review": ("weighthouse review", "weighthouse review approve req_…"),
    "why": ("weighthouse why run.submit model/tern --person ada",),
    "who": ("weighthouse who model/tern",),
    "sessions": ("weighthouse sessions --person ada", 'weighthouse sessions freeze ada --reason "Laptop stolen"'),
    "hold": (
        "weighthouse hold preview class:frontier --action weights.export",
        'weighthouse hold place model/tern --reason "Incident 12" --action weights.export',
    ),
    "alerts": ("weighthouse alerts --limit 10", 'weighthouse alerts acknowledge alt_… --note "Mine"'),
    "egress": ("weighthouse egress budgets",),
    "policy": ("weighthouse policy check lab.yaml", "weighthouse policy publish lab.yaml"),
    "audit": (
        "weighthouse audit log",
        "weighthouse audit export ./log",
        "weighthouse audit verify ./log --key log.pub",
    ),
    "evidence": ("weighthouse evidence --compute -o json",),
    "redteam": ("weighthouse redteam run all", "weighthouse redteam run slow-drip", "weighthouse redteam results"),
    "committee": (
        'weighthouse committee hold model/tern --reason "Not evaluated"',
        'weighthouse committee lift model/tern --text "Evaluated on 3 May"',
        "weighthouse committee vote mot_… for",
    ),
    "completion": ('eval "$(weighthouse completion bash)"',),
}


def epilog(noun: str) -> str | None:
    """Return the examples of a noun as Click prints them, line by line."""
    lines = EXAMPLES.get(noun)
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) if lines else None
