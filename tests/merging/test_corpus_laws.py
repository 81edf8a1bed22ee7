"""Laws of merging, for every language: two random changes of the texts in the corpus."""

import re
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anvcs.merging import merge_file
from anvcs.merging.parsing import parses
from anvcs.merging.profiles import all_profiles, profile_for
from support.merge_cases import MergeCase, merge_cases, read_case

_NAME = re.compile(r"[A-Za-z_]\w+")
_WORD = re.compile(rb"\w+")
_TEXTS: dict[str, list[MergeCase]] = {}
for _case in map(read_case, merge_cases()):
    _profile = profile_for(_case.path.encode())
    if _profile is not None and not any(member.yields for member in _profile.members):
        _TEXTS.setdefault(_profile.name, []).append(_case)


def changed(draw: st.DrawFn, text: str, mark: str, others: list[str]) -> str:
    """*text* with lines taken out, moved, indented, put in or with new words, all of which begin with *mark*."""
    lines = text.splitlines(keepends=True)
    for number in range(draw(st.integers(1, 3))):
        first = draw(st.integers(0, len(lines)))
        last = draw(st.integers(first, min(first + 4, len(lines))))
        block = lines[first:last]
        match draw(st.sampled_from(("delete", "rename", "rename", "insert", "insert", "move", "indent"))):
            case "delete":
                del lines[first:last]
            case "rename":
                lines[first:last] = renamed(draw, "".join(block), f"{mark}{number}")
            case "insert":
                source = draw(st.sampled_from(others)).splitlines(keepends=True)
                start = draw(st.integers(0, len(source)))
                lines[first:first] = renamed(draw, "".join(source[start : start + 4]), f"{mark}{number}")
            case "move":
                del lines[first:last]
                at = draw(st.integers(0, len(lines)))
                lines[at:at] = block
            case _:
                lines[first:last] = ["    " + line for line in block]
    return "".join(lines)


def renamed(draw: st.DrawFn, text: str, name: str) -> list[str]:
    words = sorted(set(_NAME.findall(text)))
    if words:
        text = re.sub(rf"\b{draw(st.sampled_from(words))}\b", name, text)
    return text.splitlines(keepends=True)


@st.composite
def merges(draw: st.DrawFn, language: str) -> tuple[str, bytes, bytes, bytes]:
    cases = _TEXTS[language]
    case = draw(st.sampled_from(cases))
    others = [text for each in cases for text in (each.base, each.left, each.right)]
    base = draw(st.sampled_from((case.base, case.left, case.right)))
    sides = (changed(draw, base, mark, others).encode() for mark in ("lft", "rgt"))
    return case.path, base.encode(), *sides


@pytest.mark.property
@pytest.mark.parametrize("language", sorted(_TEXTS))
def test_what_is_clean_parses_and_has_every_new_word(language: str) -> None:
    profile = next(profile for profile in all_profiles() if profile.name == language)
    if profile.language() is None:
        pytest.skip(f"no grammar for {language}")

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(merges(language))
    def holds(case: tuple[str, bytes, bytes, bytes]) -> None:
        path, *texts = case
        found = merge_file(*texts, path)
        if not found.clean:
            return
        if all(parses(path.encode(), text) for text in texts):
            assert parses(path.encode(), found.content)
        after = Counter(_WORD.findall(found.content))
        for mark, side in ((b"lft", texts[1]), (b"rgt", texts[2])):
            mine = Counter(word for word in _WORD.findall(side) if word.startswith(mark))
            assert mine == Counter({word: after[word] for word in mine})

    holds()
