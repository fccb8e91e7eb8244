"""The documents' blocks of code and commands, as the tests read them."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
SHELL = ("", "sh")
"""Languages of blocks that hold commands."""


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page):
    """(language, text) of each block of code, from top to bottom."""
    return re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(text):
    """The commands of a block, each as its words, without comments; options in brackets count as given."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line.replace("[", " ").replace("]", " "), comments=True):
            yield words
