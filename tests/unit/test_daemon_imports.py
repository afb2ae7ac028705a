"""What caisd does not hold before a request needs it: each megabyte of its code is a megabyte on every machine."""

import subprocess
import sys

LATE = ("cais.build", "cais.engine.explain_run", "grpclib", "google.protobuf")


def test_an_idle_caisd_holds_no_builder() -> None:
    program = "import sys, cais.daemon.serve; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    loaded = done.stdout.split()
    assert "cais.api.server" in loaded
    assert [module for module in loaded if module.startswith(LATE)] == []
