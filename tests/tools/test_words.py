"""The list of words in docs/glossary.md, and what `make lint` finds by it."""

from __future__ import annotations

from hack.words import GLOSSARY, ROOT, found_words, replaced_words

WORDS = {"trousers": "pants", "lift up": "raise"}


def test_the_words_are_read_from_the_last_table() -> None:
    glossary = (
        "| term | x |\n|---|---|\n| `a` | b |\n## Words we do not use\n| not | but |\n|---|---|\n| `c`, `d e` | f |\n"
    )
    assert replaced_words(glossary) == {"c": "f", "d e": "f"}


def test_the_glossary_has_words() -> None:
    assert replaced_words((ROOT / GLOSSARY).read_text(encoding="utf-8"))


def test_a_word_is_found_in_whatever_case_and_within_a_name() -> None:
    assert [*found_words("x\nclass TrousersShop:\n  own_trousers = 1", WORDS)] == [(2, "trousers"), (3, "trousers")]


def test_a_phrase_is_found_over_the_end_of_a_line_and_of_a_comment() -> None:
    assert [*found_words("# They lift\n# up the lid, and lift\nup the box.", WORDS)] == [(1, "lift up"), (2, "lift up")]


def test_a_phrase_is_not_found_in_longer_words() -> None:
    assert [*found_words("to uplift upper floors, or lift upwards", WORDS)] == []
