"""cais.local/debian: a small Debian system with apt, made by mmdebstrap from the distribution's packages."""

import time
from pathlib import Path
from typing import Final

from cais.distribution.local_root import PATH, MadeRoot, rfc3339
from cais.distribution.oci import ContainerConfig
from cais.distribution.packages import Packages
from cais.distribution.programs import Tell, run
from cais.distribution.reference import DEFAULT_TAG

SUITES: Final = frozenset(
    {"bullseye", "bookworm", "trixie", "forky", "sid", "oldoldstable", "oldstable", "stable", "testing", "unstable"}
)
FALLBACK: Final = "bookworm"

_OS_RELEASE: Final = Path("/etc/os-release")
_KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
_DAY_SECONDS: Final = 86400


def default_suite(os_release: Path = _OS_RELEASE) -> str:
    """What "latest" means: the suite of this machine where it runs Debian, bookworm elsewhere."""
    try:
        text = os_release.read_text("utf-8", "replace")
    except OSError:
        return FALLBACK
    values = dict(line.partition("=")[::2] for line in text.splitlines())
    suite = values.get("VERSION_CODENAME", "").strip("\"'")
    return suite if values.get("ID", "").strip("\"'") == "debian" and suite in SUITES else FALLBACK


async def make_debian(tag: str, work: Path, tell: Tell, packages: Packages) -> MadeRoot:
    """The archive of the image. It is the same for the rest of the day while the archive of packages is."""
    suite = default_suite() if tag == DEFAULT_TAG else tag
    await packages.need("mmdebstrap", "mmdebstrap", tell)
    await packages.need(_KEYRING, "debian-archive-keyring", tell)
    archive = work / "root.tar"
    epoch = int(time.time()) // _DAY_SECONDS * _DAY_SECONDS
    await run(
        "mmdebstrap",
        "--variant=apt",
        "--format=tar",
        suite,
        str(archive),
        folder=work,
        variables={"SOURCE_DATE_EPOCH": str(epoch), "TMPDIR": str(work)},
        tell=lambda line: _pass_on(line, tell),
    )
    return MadeRoot(archive, ContainerConfig(env=[PATH], cmd=["bash"]), rfc3339(epoch), f"mmdebstrap {suite}")


def _pass_on(line: str, tell: Tell) -> None:
    """Tell what mmdebstrap does now, without its mark of a notice; its warnings and paths say nothing to the user."""
    text = line.removeprefix("I: ").removesuffix("...")
    if text != line and "/" not in text:
        tell(text[:1].upper() + text[1:])
