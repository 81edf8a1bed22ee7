"""Profiles say what their grammars know."""

import pytest

from anvcs.merging.profiles import Profile, all_profiles, profile_for

PROFILES = [profile for profile in all_profiles() if profile.language() is not None]
_FAMILIES = [{"JavaScript", "TypeScript", "TSX"}, {"C", "C++"}]


def nodes_of(profile: Profile) -> set[str]:
    language = profile.language()
    return {language.node_kind_for_id(number) for number in range(language.node_kind_count)}


def fields_of(profile: Profile) -> set[str]:
    language = profile.language()
    return {language.field_name_for_id(number) for number in range(1, language.field_count + 1)}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_every_name_is_known_to_the_grammar(profile: Profile) -> None:
    """Or to that of another language with which it shares a profile."""
    family = next((names for names in _FAMILIES if profile.name in names), {profile.name})
    relatives = [other for other in PROFILES if other.name in family]
    known = {name for other in relatives for name in nodes_of(other) | fields_of(other)}
    said = {*profile.atomic, *profile.through, *profile.whole_lines, *profile.comments, *profile.attached}
    said |= {*profile.verbatim, *profile.imports, *profile.identifiers}
    said |= {
        name
        for path in (*profile.same_shape, *profile.binders, *profile.accesses, *profile.mentions)
        for name in path.split(".")
        if name
    }
    said |= {name for path in profile.prose for name in path.split("/")}
    for listing in profile.listings:
        said |= {name for path in (*listing.nodes, *listing.of) for name in path.split(".")} | set(listing.fence)
    for member in profile.members:
        said |= {*member.nodes, *member.marks} | {
            name for path in member.key for name in path.split(".") if name[0] != '"'
        }
        said |= {name for path in member.of for name in path.split(".")}
    assert said <= known


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_groups_exist(profile: Profile) -> None:
    groups = {member.group for member in profile.members}
    for listing in profile.listings:
        mixed = {group for groups in listing.commutes for group in groups.split()}
        assert {*mixed, *listing.leads, *listing.sorts} <= groups
        assert {*listing.leads, *listing.sorts} <= mixed


def test_a_name_tells_the_language() -> None:
    names = {b"a.py": "Python", b"dir/a.TSX": "TSX", b"x/.bashrc": "shell", b"Pipfile": "TOML", b"a.tar.json": "JSON"}
    for name, language in names.items():
        profile = profile_for(name)
        assert profile is not None
        assert profile.name == language
    for name in (b"py", b".py", b"a.unknown", b"a.py/b", b"\xff.\xff", b""):
        assert profile_for(name) is None
