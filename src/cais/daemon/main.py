"""caisd: serves Docker's API for one state folder until it is told to stop. Containers run on without it."""

import os
import sys
from collections.abc import Sequence

from cais.daemon import process
from cais.daemon.logs import configure
from cais.daemon.options import Options, parse
from cais.errors import CaisError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs caisd; the exit status is 1 when it could not start."""
    readiness = process.Readiness()
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
        if os.geteuid() != 0:
            return _failed(readiness, "it must be run as root")
        if options.detach:
            readiness, error = process.detach()
            if error is not None:
                return _failed(process.Readiness(), error) if error else 0
        process.prepare()
        return _run(options, readiness)
    except CaisError as error:
        return _failed(readiness, error.message)


def _run(options: Options, readiness: process.Readiness) -> int:
    configure(options.log_target, options.log_file, options.debug)
    # imported late: what can be refused is refused without them, and the parent of a detached caisd needs none
    from cais.daemon.serve import run  # noqa: PLC0415

    run(options, readiness)
    return 0


def _failed(readiness: process.Readiness, message: str) -> int:
    if not readiness.failed(message):
        print(f"caisd: {message}", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
