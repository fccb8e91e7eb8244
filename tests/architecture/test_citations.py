"""What code says about the method stands in the repository."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = set(re.findall(r"^## (\d+)\. ", (ROOT / "docs" / "method.md").read_text(), re.MULTILINE))


def test_every_section_of_the_method_that_is_cited_exists():
    cited = {
        (file.name, section)
        for folder in ("src", "tests", "benchmarks", "examples")
        for file in sorted((ROOT / folder).rglob("*.py"))
        for first, last in re.findall(r"method\.md §(\d+)(?: to §(\d+))?", file.read_text())
        for section in (first, last)
        if section
    }
    assert len(cited) > 10
    assert not {(file, section) for file, section in cited if section not in SECTIONS}
