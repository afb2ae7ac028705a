"""Cais, a container engine.

    import cais
    cais.run("cais.local/busybox", ["echo", "hi"]).stdout      b"hi\\n"

`cais.Engine` is the whole of it, for asyncio. What is named here is loaded when it is first used: the command `cais`
imports this package too, and must not wait for what it does not need.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.errors import CaisError as CaisError
    from cais.errors import Conflict as Conflict
    from cais.errors import Forbidden as Forbidden
    from cais.errors import Internal as Internal
    from cais.errors import InvalidArgument as InvalidArgument
    from cais.errors import NotFound as NotFound
    from cais.errors import Unauthorized as Unauthorized
    from cais.errors import Unavailable as Unavailable
    from cais.errors import Unsupported as Unsupported
    from cais.library.blocking import close as close
    from cais.library.blocking import run as run
    from cais.library.containers import Container as Container
    from cais.library.engine import Engine as Engine
    from cais.library.errors import CommandFailed as CommandFailed
    from cais.library.errors import CommandTimeout as CommandTimeout
    from cais.library.model import Change as Change
    from cais.library.model import ContainerInfo as ContainerInfo
    from cais.library.model import ContainerSummary as ContainerSummary
    from cais.library.model import EngineInfo as EngineInfo
    from cais.library.model import Event as Event
    from cais.library.model import Image as Image
    from cais.library.model import Output as Output
    from cais.library.model import Result as Result
    from cais.library.model import Stats as Stats
    from cais.library.model import Version as Version
    from cais.library.options import ContainerOptions as ContainerOptions
    from cais.library.streams import Attached as Attached
else:
    _NAMES = {
        "cais.errors": (
            "CaisError Conflict Forbidden Internal InvalidArgument NotFound Unauthorized Unavailable Unsupported"
        ),
        "cais.library.blocking": "close run",
        "cais.library.containers": "Container",
        "cais.library.engine": "Engine",
        "cais.library.errors": "CommandFailed CommandTimeout",
        "cais.library.model": (
            "Change ContainerInfo ContainerSummary EngineInfo Event Image Output Result Stats Version"
        ),
        "cais.library.options": "ContainerOptions",
        "cais.library.streams": "Attached",
    }
    _HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module 'cais' has no attribute {name!r}")
        value = getattr(__import__(_HOMES[name], fromlist=[name]), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *_HOMES})
