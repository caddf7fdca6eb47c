"""A model that would be gone before anybody could stop it is named where an operator looks: doctor."""

from __future__ import annotations

from pathlib import Path

from weighthouse.app import declared, doctor
from weighthouse.app.home import Home
from weighthouse.app.initialise import EXAMPLE_LAB
from weighthouse.core.settings import Settings

MIB = 1024 * 1024


def budgets(folder: Path, **flags: int) -> list[doctor.Finding]:
    home = Home(folder)
    home.lab_file.write_text(EXAMPLE_LAB.read_text("utf-8"))
    settings = Settings(declared.settings(), flags={"state": folder, "mode": "development", **flags})
    return [one for one in doctor.examine(settings, home) if one.name.startswith("budget")]


def test_doctor_says_that_the_example_lab_holds_and_names_a_model_that_does_not(tmp_path: Path) -> None:
    assert [(one.name, one.state) for one in budgets(tmp_path)] == [("budgets", "ok")]
    weak = budgets(tmp_path, **{"egress.model_daily_bytes": 1024 * MIB})
    assert [(one.name, one.state) for one in weak] == [
        ("budget of model/tern", "weak"),
        ("budget of model/wren", "weak"),
    ]
    assert all("egress.model_daily_bytes" in one.remedy for one in weak)
