"""Damages a text as typing and transport do, in five degrees.

Slips of the finger and lost letters follow Belinkov and Bisk, "Synthetic and natural noise both break neural machine
translation", 2018; shouting, stuttered words and broken spaces, as scanning and line breaks leave them, are our own. Slips
strike letters of words of four letters and more, since readers and writers keep the shortest words whole; no text becomes empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_WORD = re.compile(r"\w+")
_SPACE_OR_LETTER = re.compile(r"(?<=\S)\s+(?=\S)|(?<=\w)(?=\w)")
"""A gap between two words, or a place between two letters of one."""
_LETTERS_LEAST = 4
_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)


def corrupt(text: str, name: str, severity: int, generator: np.random.Generator) -> str:
    """One text after a corruption of severity 1 to 5."""
    return CORRUPTIONS[name](text, severity - 1, generator)


def _typos(text: str, grade: int, generator: np.random.Generator) -> str:
    """A letter changes place with the next, or becomes its neighbour on the keyboard."""

    def slip(letters: list[str], place: int, chance: float) -> None:
        if chance < 0.5 and place + 1 < len(letters):
            letters[place], letters[place + 1] = letters[place + 1], letters[place]
        else:
            letters[place] = _neighbour(letters[place], chance)

    return _struck(text, grade, generator, slip)


def _dropped_letters(text: str, grade: int, generator: np.random.Generator) -> str:
    def drop(letters: list[str], place: int, chance: float) -> None:
        letters[place] = ""

    return _struck(text, grade, generator, drop)


def _upper_case(text: str, grade: int, generator: np.random.Generator) -> str:
    share = (0.1, 0.25, 0.5, 0.75, 1.0)[grade]
    return _WORD.sub(lambda found: found[0].upper() if generator.random() < share else found[0], text)


def _repeated_words(text: str, grade: int, generator: np.random.Generator) -> str:
    share = (0.02, 0.05, 0.1, 0.2, 0.3)[grade]
    return _WORD.sub(lambda found: f"{found[0]} {found[0]}" if generator.random() < share else found[0], text)


def _broken_spaces(text: str, grade: int, generator: np.random.Generator) -> str:
    """A gap between words is lost, or one opens within a word."""
    lost, opened = (0.02, 0.05, 0.1, 0.2, 0.4)[grade], (0.002, 0.005, 0.01, 0.02, 0.05)[grade]

    def strike(found: re.Match[str]) -> str:
        chance = generator.random()
        if found[0]:
            return "" if chance < lost else found[0]
        return " " if chance < opened else ""

    return _SPACE_OR_LETTER.sub(strike, text)


def _struck(
    text: str, grade: int, generator: np.random.Generator, strike: Callable[[list[str], int, float], None]
) -> str:
    """The text after strikes at random letters of its longer words, never at the first letter."""

    def word(found: re.Match[str]) -> str:
        letters = list(found[0])
        if len(letters) < _LETTERS_LEAST:
            return found[0]
        chances = generator.random((len(letters), 2))
        for place in range(1, len(letters)):
            if letters[place].isalpha() and chances[place, 0] < _SHARES[grade]:
                strike(letters, place, float(chances[place, 1]))
        return "".join(letters)

    return _WORD.sub(word, text)


def _neighbour(letter: str, chance: float) -> str:
    for row in _KEYS:
        place = row.find(letter.lower())
        if place >= 0:
            step = 1 if place == 0 or (chance < 0.75 and place + 1 < len(row)) else -1
            found = row[place + step]
            return found.upper() if letter.isupper() else found
    return letter


CORRUPTIONS: dict[str, Callable[[str, int, np.random.Generator], str]] = {
    "typos": _typos,
    "dropped_letters": _dropped_letters,
    "upper_case": _upper_case,
    "repeated_words": _repeated_words,
    "broken_spaces": _broken_spaces,
}
