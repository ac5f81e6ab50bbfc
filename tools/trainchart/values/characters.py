"""Which characters a text of the values may hold: the schema is made with it, and its refusals are explained with it."""

CONTROL = "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\u2028\u2029\ufeff\ufffe\uffff"
"""What no text and no key may hold, but for tab and line break: C0, DEL, C1, and what else some reader of YAML or JSON takes for a
line break or the mark of a file's beginning. As in a class of a regular expression: Helm's (RE2), jsonschema_rs's (Rust) and the
editors' (ECMAScript) know `\\x1f` alike, and only the characters themselves beyond U+00FF. Lone surrogates are no YAML."""

LINE = rf"^[^\t\n{CONTROL}]*$"
LINES = f"^[^{CONTROL}]*$"
"""With tabs and line breaks: arguments of programs, environment, and what is in a map of the user's."""


def is_utf8(text: str) -> bool:
    """Whether a text of the command line is UTF-8: bytes of it that are not become lone surrogates."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
