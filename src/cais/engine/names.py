"""Names and ids of containers.

A container that is given no name gets two words, an adjective and the surname of someone who mapped,
measured, sailed or computed.
"""

import re
import secrets
from collections.abc import Container
from typing import Final

from cais.engine.text import printable
from cais.errors import InvalidArgument

ADJECTIVES: Final = (
    "agile", "amber", "ample", "azure", "bold", "brave", "breezy", "bright", "brisk", "calm", "candid", "clear",
    "clever", "coastal", "cosmic", "crisp", "curious", "daring", "deft", "eager", "earnest", "fair", "fearless",
    "fluent", "frank", "gentle", "golden", "graceful", "handy", "hardy", "hopeful", "humble", "jolly", "keen",
    "kind", "lively", "loyal", "lucid", "lunar", "mellow", "merry", "modest", "nimble", "noble", "patient",
    "playful", "polite", "prudent", "quick", "quiet", "radiant", "sage", "serene", "sincere", "snug", "solar",
    "spry", "stable", "steady", "sunny", "swift", "tidal", "tidy", "upbeat", "valiant", "vivid", "warm", "wise",
    "witty", "zesty",
)  # fmt: skip
SURNAMES: Final = (
    "amundsen", "anning", "arago", "babbage", "backus", "banneker", "barton", "battuta", "beaufort", "bering",
    "bernoulli", "bohr", "boole", "bose", "bowditch", "brahe", "cabral", "carson", "cassini", "celsius", "church",
    "cook", "coriolis", "curie", "dampier", "darwin", "dias", "dijkstra", "drake", "earhart", "eratosthenes",
    "euler", "faraday", "fermi", "fourier", "franklin", "fulton", "galilei", "galois", "gama", "gauss", "germain",
    "goeppert", "halley", "hamilton", "harrison", "henson", "herschel", "hertz", "hopper", "hubble", "humboldt",
    "huygens", "hypatia", "johnson", "joule", "kepler", "knuth", "lamarr", "laplace", "leavitt", "lovelace",
    "magellan", "mariner", "maury", "maxwell", "meitner", "mercator", "mirzakhani", "morse", "nansen", "napier",
    "newton", "nightingale", "noether", "nunes", "pascal", "perlman", "planck", "ptolemy", "ramanujan", "rutherford",
    "sagan", "shackleton", "shannon", "snell", "somerville", "tesla", "tharp", "turing", "volta", "wegener", "wirth",
    "zacuto",
)  # fmt: skip

ALLOWED: Final = "[a-zA-Z0-9][a-zA-Z0-9_.-]"
_NAME: Final = re.compile(f"{ALLOWED}+")


def new_id() -> str:
    """64 random hexadecimal digits; the first twelve are never all decimal, so that none is taken for a number."""
    while (candidate := secrets.token_hex(32))[:12].isdigit():
        pass
    return candidate


def random_name(taken: Container[str]) -> str:
    """A name that is not among the taken ones."""
    for attempt in range(1000):
        name = f"{secrets.choice(ADJECTIVES)}_{secrets.choice(SURNAMES)}"
        if attempt > 5:
            name += str(secrets.randbelow(10**attempt if attempt < 10 else 10**10))
        if name not in taken:
            return name
    raise AssertionError("no free name after 1000 attempts")


def check_name(name: str) -> str:
    """The name without the leading slash that old clients send. Raises InvalidArgument."""
    bare = name.removeprefix("/")
    if not _NAME.fullmatch(bare):
        raise InvalidArgument(f"Invalid container name ({printable(name)}), only {ALLOWED} are allowed")
    return bare
