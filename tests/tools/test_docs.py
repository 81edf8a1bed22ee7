"""Documents that are made from code agree with it, and links lead somewhere."""

import re
from pathlib import Path

import pytest

from anvcs_tools import refdocs

TOP = refdocs.DOCS.parent
PAGES = [TOP / "README.md", *sorted(refdocs.DOCS.rglob("*.md"))]


@pytest.mark.parametrize("path", list(refdocs.pages()), ids=lambda path: path.name)
def test_generated_pages_are_up_to_date(path):
    assert path.read_text() == refdocs.pages()[path], "run `make docs`"


def anchors(page: Path) -> set[str]:
    """The names that a page's headings get on a code host."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_reached_from_the_readme():
    seen: set[Path] = set()
    waiting = [TOP / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        page = page / "README.md" if page.is_dir() else page
        if page.suffix != ".md" or page in seen or not page.exists():
            continue
        seen.add(page)
        waiting += [page.parent / link.partition("#")[0] for link in re.findall(r"\]\(([^):]+)\)", page.read_text())]
    unreached = {page.resolve() for page in PAGES} - seen
    assert not {page for page in unreached if page.parent.name != "changelog.d"}
