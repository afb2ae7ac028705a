"""The proxies that a user has set for containers, in `proxies` of the settings: by engine, or "default" for all."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VARIABLES = {
    "httpProxy": "HTTP_PROXY",
    "httpsProxy": "HTTPS_PROXY",
    "noProxy": "NO_PROXY",
    "ftpProxy": "FTP_PROXY",
    "allProxy": "ALL_PROXY",
}


def with_proxies(proxies: dict[str, Any], engine: str, environment: list[str]) -> list[str]:
    """The environment with the variables of the proxies before it, in both spellings, as far as it lacks them."""
    chosen = proxies.get(engine) or proxies.get("default")
    if not isinstance(chosen, dict):
        return environment
    given = {pair.partition("=")[0] for pair in environment}
    found = []
    for setting, variable in _VARIABLES.items():
        value = chosen.get(setting)
        if isinstance(value, str) and value:
            found += [f"{name}={value}" for name in (variable, variable.lower()) if name not in given]
    return found + environment
