"""A build's events for clients that show each step by itself: messages {"build": EVENT}, one a line.

    {"planned": [{"text": INSTRUCTION, "stage": NAME}, …]}      steps are counted from 1
    {"started": STEP}
    {"output": STEP, "source": "stdout" | "stderr" | "note", "data": TEXT}
    {"finished": STEP, "cached": BOOL, "error": TEXT}
    {"cache": [ID, …]}                                          images that have the cache of this build

The progress of a pull is told as everywhere, and what belongs to no step as {"stream": TEXT}.
"""

import codecs
from collections.abc import Callable

from cais.api.http import encode
from cais.build.events import CacheExported, Event, Finished, Output, Planned, Pulling, Started, Warned
from cais.engine.progress import Progress


class StepStream:
    """Takes events, and reports messages. What is not UTF-8 in outputs becomes U+FFFD."""

    def __init__(self, report: Callable[[Progress | bytes], None]) -> None:
        self._report = report
        self._decoders: dict[tuple[int, str], codecs.IncrementalDecoder] = {}

    def tell(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, Pulling):
            self._report(event.progress)
            return
        if isinstance(event, Warned):
            self._report(Progress(stream=event.text))
            return
        message = self._message(event)
        if message:
            self._report(encode({"build": message}))

    def _message(self, event: Planned | Started | Output | Finished | CacheExported) -> dict[str, object]:
        match event:
            case Planned():
                steps = zip(event.texts, event.stages, strict=True)
                return {"planned": [{"text": text, "stage": stage} for text, stage in steps]}
            case Started():
                return {"started": event.step}
            case Output():
                text = self._decoded(event)
                return {"output": event.step, "source": event.source, "data": text} if text else {}
            case CacheExported():
                return {"cache": list(event.images)}
            case Finished():
                return {"finished": event.step, "cached": event.cached, "error": event.error}

    def _decoded(self, event: Output) -> str:
        """The text of an output; a letter may come in two pieces."""
        key = (event.step, event.source)
        decoder = self._decoders.get(key)
        if decoder is None:
            decoder = self._decoders[key] = codecs.getincrementaldecoder("utf-8")("replace")
        return decoder.decode(event.data)
