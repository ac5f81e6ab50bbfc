"""What the name of a metric says about it, whatever the trainer: a loss goes down, a score goes up.

Names are compared word by word: `metrics/mAP_0.5` is "metrics map 0 5", and `val_loss`, `val/box_loss` and `valLoss`
are all losses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum


class Kind(Enum):
    """The kind of a metric; curves of one kind may share a scale."""

    LOSS = "loss"
    SCORE = "score"
    RATE = "learning rate"
    OTHER = "other"


# Of several scores, the one that comes first here stands for the run.
_SCORES = (
    *(
        "map",
        "ap",
        "accuracy",
        "acc",
        "top 1",
        "f 1",
        "dice",
        "miou",
        "iou",
        "auc",
        "bleu",
        "rouge",
        "score",
        "fitness",
    ),
    *("precision", "recall"),
)
_LOSSES = ("loss", "losses", "nll", "perplexity", "ppl", "mae", "mse", "rmse", "error", "wer", "cer", "entropy")
_RATES = ("lr", "learning rate")
_HELD_OUT = ("val", "valid", "validation", "eval", "test")
_SPLITS = (*_HELD_OUT, "train", "training")


def kind(name: str) -> Kind:
    """Return the kind that a metric of this name is likely to have."""
    words = _words(name)
    for found, known in ((Kind.RATE, _RATES), (Kind.LOSS, _LOSSES), (Kind.SCORE, _SCORES)):
        if any(f" {word} " in words for word in known):
            return found
    return Kind.OTHER


def headline(names: Iterable[str]) -> str | None:
    """Return the one metric that says most about a run: a score, else a loss, on held-out data if possible."""

    def rank(name: str) -> tuple[int, int, bool, int]:
        words = _words(name)
        score = next((place for place, word in enumerate(_SCORES) if f" {word} " in words), len(_SCORES))
        return (Kind.SCORE, Kind.LOSS, Kind.OTHER).index(kind(name)), score, not held_out(name), len(name)

    candidates = [name for name in names if name not in ("epoch", "seconds", "time") and kind(name) is not Kind.RATE]
    return min(candidates, key=rank, default=None)


def held_out(name: str) -> bool:
    """Return whether the metric is measured on data that was not trained on."""
    return not set(_HELD_OUT).isdisjoint(_words(name).split())


def subject(name: str) -> str:
    """Return what is measured, on whatever data: it is the same for `train/box_loss` and `val/box_loss`."""
    return " ".join(word for word in _words(name).split() if word not in _SPLITS)


def format_number(value: float) -> str:
    """Return a metric as people read it: three significant digits, and no exponent where none is needed."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.6g}"


def _words(name: str) -> str:
    """Return the words in lower case, with spaces around each; digits are words, valLoss is two, and mAP is one."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", name).lower()
    return f" {' '.join(re.findall(r'[a-z]+|[0-9]+', apart))} "
