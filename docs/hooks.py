"""What mkdocs adds to docs/*.md: pages of the repository's root, the command line's help, the API, code that is linked.

Links are written as they work in the repository; here each becomes the page that its file has on the site.
"""

from __future__ import annotations

import io
import os
import posixpath
import re
from contextlib import redirect_stdout
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "traqpoint"
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""File of the repository -> its page."""
SOURCES = {page: file for file, page in PAGES.items()}
LANGUAGES = {".py": "python", ".cpp": "cpp", ".mjs": "javascript", ".json": "json", ".cff": "yaml"}
LINK = re.compile(r"\]\((?!https?:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files, config):
    """Add the pages that no file in docs/ holds."""
    made = {page: (ROOT / file).read_text(encoding="utf-8") for file, page in PAGES.items()}
    texts = [(page, text) for page, text in made.items()]
    texts += [(file.src_uri, file.content_string) for file in files.documentation_pages()]
    for page, text in texts:
        for link, _ in LINK.findall(text):
            path = repository_path(page, link)
            if page_of(path).startswith("code/"):
                made[page_of(path)] = code_page(path)
    made |= {"cli.md": command_line()} | api_pages()
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turn links between files of the repository into links between pages."""
    here = page.file.src_uri
    if here.startswith(("code/", "api/")) or here == "cli.md":
        return markdown

    def relinked(link):
        target = page_of(repository_path(here, link[1]))
        return f"]({posixpath.relpath(target, posixpath.dirname(here) or '.')}{link[2] or ''})"

    return LINK.sub(relinked, markdown)


def repository_path(page: str, link: str) -> str:
    """The file or folder of the repository that a link of a page means, as a path from the root."""
    source = SOURCES.get(page, f"docs/{page}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def page_of(path: str) -> str:
    """Path from the repository's root -> the file's page, or picture, on the site."""
    if f"{path}/README.md" in PAGES:
        path = f"{path}/README.md"
    return PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else f"code/{path}.md")


def code_page(path: str) -> str:
    """A file of the repository as it is, or the names in a folder. Raises FileNotFoundError: the link is broken."""
    file = ROOT / path
    if file.is_dir():
        return f"# {path}\n\n" + "\n".join(f"- {inside.name}" for inside in sorted(file.iterdir()))
    return f"# {path}\n\n``````{LANGUAGES.get(file.suffix, 'text')}\n{file.read_text(encoding='utf-8')}\n``````\n"


def command_line() -> str:
    """Every verb's `--help`, as the configurations make it."""
    from traqpoint.cli.main import VERBS, main

    os.environ["COLUMNS"] = "118"
    text = ["# The command line", "Made of the configurations, as `traqpoint VERB --help` shows it.", ""]
    text += ["| verb | |", "|---|---|"]
    text += [f"| [{verb}](#{verb.replace(' ', '-')}) | {what} |" for verb, (_, what) in VERBS.items()]
    for verb in VERBS:
        shown = io.StringIO()
        try:
            with redirect_stdout(shown):
                main([*verb.split(), "--help"])
        except SystemExit:
            pass
        plain = re.sub(r"\x1b\[[\d;]*m", "", shown.getvalue()).rstrip()
        text += ["", f"## {verb}", "", "```text", plain, "```"]
    return "\n".join(text)


def api_pages() -> dict[str, str]:
    """A page for the public names, and one for each room of the package with all of its modules."""
    from traqpoint import _HOME, __all__

    names = [f"::: traqpoint.{_HOME[name]}.{name}" for name in __all__ if name in _HOME]
    pages = {"api/index.md": "\n\n".join(["# traqpoint", "Importable as `traqpoint.NAME`.", *names])}
    rooms: dict[str, list[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        if file.name != "__init__.py":
            rooms.setdefault(parts[0] if len(parts) > 1 else "base", []).append(".".join(("traqpoint", *parts)))
    for room, modules in rooms.items():
        pages[f"api/{room}.md"] = "\n\n".join([f"# {room}", *(f"::: {module}" for module in modules)])
    return pages
