"""What the schema for editors says beside the shape: the words of refusals, in editors and in `trainchart validate`.

They stand at the types and fields of the models, and the chart's own schema goes without them.
"""

from __future__ import annotations

import re
from typing import Any

PATTERN = "patternErrorMessage"
"""What a text must be, for its pattern; editors show it instead of a regular expression."""
MUST_BE = "must be "
ALSO = "x-also"
"""Other names that people give a key."""
INSTEAD = "x-instead"
"""Keys that people expect in a section and that are none, with what to do instead; * stands for any letters."""


def must_be(form: str) -> dict[str, Any]:
    """What the pattern of a type means, for `json_schema_extra`: with must_be("a name") the message reads: 'A B' is not a name."""
    return {PATTERN: MUST_BE + form}


def also(*names: str) -> dict[str, Any]:
    """Other names that people give a key, for its `json_schema_extra`: they are answered with the key."""
    return {ALSO: list(names)}


def instead(**texts: str) -> dict[str, Any]:
    """What to do instead of setting a key that does not exist, for a section's `json_schema_extra`."""
    return {INSTEAD: texts}


def plain(word: str) -> str:
    """A word without case, blanks, - and _."""
    return re.sub(r"[-_ ]", "", word).lower()
