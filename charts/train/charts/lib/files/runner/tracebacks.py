"""Why a program failed, where, and what may help, by the last lines that it printed."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Pattern

_RANK = re.compile(r"\[(?:rank|default)\d+\]: ?")  # torch and torchrun begin lines with it
_FRAME = re.compile(r'\s*File "(?P<file>.+)", line (?P<line>\d+), in (?P<function>\S+)')
_EXCEPTION = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Exit|Timeout)(?::.*)?$")
_EVALUATION = re.compile(r"_?(?:val|eval(?:uat\w*)?|validat\w*)(?:_.*)?")
_LIBRARY = re.compile(r"/(?:site|dist)-packages/|/lib/python3|^/trainchart/|^<")
_FIXES = {
    r"No module named|cannot import name|cannot open shared object": "use an image that has it, or put it into the model repository",
    r"out of memory|OutOfMemory|ResourceExhausted": "lower the batch size, or use an accelerator with more memory",
    r"No space left on device|Disk quota exceeded": "raise workspace.size",
    r"Bus error|shared memory|/dev/shm": "raise sharedMemory, or lower the number of workers",
    r"\bnan\b": "lower the learning rate, or look for invalid numbers in the data",
}


class Cause(NamedTuple):
    message: str
    frames: List[re.Match[str]] = []  # noqa: RUF012 - of its traceback, the innermost last

    @property
    def in_evaluation(self) -> bool:
        """Whether the program was evaluating. A module's name counts only while one of its functions runs."""
        names = [(frame["function"], Path(frame["file"]).stem) for frame in self.frames]
        return any(name[0] != "<module>" and any(map(_EVALUATION.fullmatch, name)) for name in names)

    def __str__(self) -> str:
        """The message, with the innermost line of the program itself and the innermost of all."""
        own = [frame for frame in self.frames if not _LIBRARY.search(frame["file"])]
        places = ["/".join(Path(at["file"]).parts[-2:]) + f", line {at['line']}" for at in own[-1:] + self.frames[-1:]]
        return self.message[:500] + (f" ({'; '.join(dict.fromkeys(places))})" if places else "")

    def fix(self, otherwise: str) -> str:
        return next((fix for words, fix in _FIXES.items() if re.search(words, self.message, re.I)), otherwise)


def cause(tail: List[str], secondary: Optional[Pattern[str]] = None) -> Cause:
    """Return the last exception, if possible one that `secondary` does not match, else the last line."""
    # A launcher's ChildFailedError is about a worker that has failed.
    found = [one for one in exceptions(tail) if "ChildFailedError" not in one.message]
    own = [one for one in found if not (secondary and secondary.search(one.message))]
    lines = [Cause(line.strip()) for line in tail if line.strip()]
    return (own or found or lines or [Cause("it printed nothing")])[-1]


def exceptions(tail: List[str]) -> Iterator[Cause]:
    """Yield the lines that end a traceback, and others that look like it."""
    lines = [_RANK.sub("", line, count=1) for line in tail]
    frames: List[re.Match[str]] = []
    inside = False
    for number, line in enumerate(lines, 1):
        frame = _FRAME.match(line)
        if line.endswith("Traceback (most recent call last):"):
            frames, inside = [], True
        elif inside and frame:
            frames.append(frame)
        elif not inside or (line.strip() and not line.startswith(" ")):
            if inside or _EXCEPTION.match(line):
                # The text goes on with indented lines (progress bars are not of it), or begins on the next line.
                more = [*itertools.takewhile(lambda text: text.startswith("  ") and "%|" not in text, lines[number:])]
                more = more or [*filter(str.strip, lines[number:])][:1] * line.endswith(":")
                yield Cause(" ".join(map(str.strip, [line, *more])).strip(), frames)
            frames, inside = [], False
