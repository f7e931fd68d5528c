"""The words of a concept: those it is found by (code, Latin words, pinyin, initials), those of a language."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from pypinyin import lazy_pinyin
from pypinyin.seg.mmseg import seg

HAN = re.compile("[\u3400-\u9fff\U00020000-\U000323af]")
WORD = re.compile(r"[^\W_]+", re.UNICODE)


def search_words(code: str, *displays: str | None) -> str:
    """Return the words of a concept, each after a space, in lower case; Han displays as pinyin too."""
    found = dict.fromkeys([folded(code)])
    for display in dict.fromkeys(displays):
        if not display:
            continue
        text = folded(display)
        found |= dict.fromkeys([text.replace(" ", ""), *WORD.findall(text)])
        if HAN.search(text):
            syllables = [one for word in seg.cut(" ".join(WORD.findall(text))) for one in _syllables(word)]
            found |= dict.fromkeys(["".join(syllables), "".join(one[:1] for one in syllables)])
    return "".join(f" {word}" for word in found if word)


@lru_cache(maxsize=20_000)
def _syllables(word: str) -> tuple[str, ...]:
    """Return the pinyin of a word; the words of diseases repeat a lot."""
    return tuple(lazy_pinyin(word)) if word.strip() else ()


def folded(text: str) -> str:
    """Return text in lower case and usual width, without accents."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFC", "".join(c for c in plain if not unicodedata.combining(c)))


def words_of(designations: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the word of each language: that of `en` itself, else of the first of its regions."""
    words: dict[str, str] = {}
    given = [(str(one.get("language", "")), str(one.get("value", ""))) for one in designations]
    for language, value in sorted(given, key=lambda one: len(one[0])):
        words.setdefault(language[:2].lower(), value)
    return words
