"""Numbers and names on a bench's command line: refused in one line, before anything is read or measured."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable


def at_least(least: int) -> Callable[[str], int]:
    """An argparse `type`: a whole number from `least` on."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or value < least:
            raise argparse.ArgumentTypeError(f"{text}: give a whole number of {least} or more")
        return value

    return number


def above_zero(text: str) -> float:
    """An argparse `type`: a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: give a number above 0")
    return value


def at_least_s(least_s: float) -> Callable[[str], float]:
    """An argparse `type`: a finite number of seconds from `least_s` on."""

    def seconds(text: str) -> float:
        value = above_zero(text)
        if value < least_s:
            raise argparse.ArgumentTypeError(f"{text}: give {least_s:g} seconds or more")
        return value

    return seconds


def names(given: Iterable[str]) -> list[str]:
    """Names that were written with spaces between them, with commas, or both."""
    return [name.strip() for text in given for name in text.split(",") if name.strip()]
