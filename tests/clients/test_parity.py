"""The scenarios whose answers were recorded from a current Docker, played against caisd by each client."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.engine import PROJECT, Daemon

PARITY = PROJECT.parent / "shared/parity"
SCENARIOS = ("01-run", "03-exec-logs-attach")


def _clients(caisd: Daemon, folder: Path) -> dict[str, str]:
    """The command of each client. Our own stands in a file named as users call it, since its errors name it."""
    command = folder / "cais"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cais.cli "$@"\n')
    command.chmod(0o755)
    return {"docker": f"docker -H {caisd.host}", "cais": str(command)}


@pytest.mark.parametrize("client", ["docker", "cais"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_recorded_scenario_is_the_same(caisd: Daemon, tmp_path: Path, client: str, scenario: str) -> None:
    if not PARITY.is_dir():
        pytest.skip("the recorded scenarios are not beside this tree (../shared/parity)")
    script = PARITY / "scenarios" / f"{scenario}.sh"
    command = [sys.executable, str(PARITY / "parity"), "--b", _clients(caisd, tmp_path)[client], str(script)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=170, env=caisd.environment())
    assert done.returncode == 0, done.stdout + done.stderr
