"""`python -m hack.words`: fails where a tracked text has a word that docs/glossary.md replaces by another."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
GLOSSARY = "docs/glossary.md"
NOT_READ = (
    GLOSSARY,  # lists the words
    "tests/*/objects",  # what clusters have said
    "tests/*/captured",
    "tests/schemas",  # texts of other projects
    "*requirements*.txt",
    "*.sum",
)


def replaced_words(glossary: str) -> dict[str, str]:
    """The words that are not used, each with what to write instead, from the last table of the glossary."""
    table = glossary.partition("## Words we do not use")[2]
    rows = re.findall(r"^\| (`.+`) \| (.+) \|$", table, re.MULTILINE)
    return {word: instead for words, instead in rows for word in re.findall(r"`([^`]+)`", words)}


def found_words(text: str, words: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """The line and the word of each that a text has: a single one also within a longer word, a phrase also over lines."""
    for word in words:
        phrase = r"[\s#]+".join(map(re.escape, word.split()))
        pattern = rf"\b{phrase}\b" if " " in word else phrase
        for match in re.finditer(pattern, text, re.IGNORECASE):
            yield text.count("\n", 0, match.start()) + 1, word


def main() -> int:
    words = replaced_words((ROOT / GLOSSARY).read_text(encoding="utf-8"))
    # Every text that is tracked: binary files have no line to match.
    command = ["git", "grep", "--name-only", "-I", "-e", "", "--", *(f":!{name}" for name in NOT_READ)]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    found = [
        f"{name}:{line}: {word!r}: write {words[word]}"
        for name in names
        for line, word in found_words((ROOT / name).read_text(encoding="utf-8"), words)
    ]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
