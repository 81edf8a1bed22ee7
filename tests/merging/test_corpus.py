"""Every case of the corpus, as it is, with the sides exchanged, and with other line ends."""

import re
from pathlib import Path

import pytest

from anvcs.merging import merge_file
from anvcs.merging.profiles import all_profiles, profile_for
from support.merge_cases import CORPUS, MergeCase, merge_cases, read_case

CASES = merge_cases()


@pytest.fixture(params=CASES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def case(request: pytest.FixtureRequest) -> MergeCase:
    file: Path = request.param
    found = read_case(file)
    profile = profile_for(found.path.encode())
    if profile is not None and profile.language() is None:
        pytest.skip(f"no grammar for {profile.name}")
    return found


def test_a_case(case: MergeCase) -> None:
    found = merge_file(case.base.encode(), case.left.encode(), case.right.encode(), case.path)
    told = [f"{each.reason}{f' in {each.entity}' if each.entity else ''}" for each in found.conflicts]
    assert (found.content.decode(), told, found.how) == (case.merged, case.conflicts, case.how), found.notes


def test_the_sides_may_be_exchanged(case: MergeCase) -> None:
    """The same lines come out, and the same is decided."""
    found = merge_file(case.base.encode(), case.right.encode(), case.left.encode(), case.path)
    assert [each.reason for each in found.conflicts] == [each.split()[0] for each in case.conflicts]
    profile = profile_for(case.path.encode())
    yields = profile is not None and any(member.yields for member in profile.members)
    if not found.conflicts and not yields:
        assert sorted(re.findall(r"\w+", found.content.decode())) == sorted(re.findall(r"\w+", case.merged))


def test_carriage_returns_stay(case: MergeCase) -> None:
    sides = [text.replace("\n", "\r\n").encode() for text in (case.base, case.left, case.right)]
    found = merge_file(*sides, case.path)
    assert found.content.decode() == case.merged.replace("\n", "\r\n")
    assert len(found.conflicts) == len(case.conflicts)


@pytest.mark.parametrize("profile", all_profiles(), ids=lambda profile: profile.name)
def test_every_language_has_cases(profile) -> None:
    mine = [file for file in CASES if profile_for(read_case(file).path.encode()) is profile]
    assert mine, f"{CORPUS}: there is nothing for {profile.name}"
