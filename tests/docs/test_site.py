"""How the documents become a site: docs/hooks.py. The whole of it is built by ``make docs``, in .ci/run."""

import runpy

import pytest
import yaml
from documents import PAGES, ROOT, name_of

pytest.importorskip("mkdocs")

import traqpoint as tp
from traqpoint.cli import main as cli
from traqpoint.cli.main import VERBS

HOOKS = runpy.run_path(str(ROOT / "docs" / "hooks.py"))


def pages_of(nav):
    for entry in nav:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from pages_of(value) if isinstance(value, list) else [value]


def test_every_document_and_every_room_has_a_place_in_the_navigation():
    nav = set(pages_of(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    rooms = {f"api/{path.parent.name}.md" for path in (ROOT / "src/traqpoint").glob("*/__init__.py")}
    documents = {HOOKS["page_of"](name_of(page)) for page in PAGES}
    assert nav == documents | rooms | {"cli.md", "api/index.md", "api/base.md"}


@pytest.mark.parametrize(
    ("page", "link", "target"),
    [
        ("index.md", "docs/method.md", "method.md"),
        ("index.md", "docs/images/flight_tracks.jpg", "images/flight_tracks.jpg"),
        ("tutorials/track.md", "../../examples/track_video.py", "code/examples/track_video.py.md"),
        ("tutorials/peer.md", "../../ARCHITECTURE.md", "architecture.md"),
        ("benchmarks.md", "../docs/sizes.md", "sizes.md"),
        ("evaluation.md", "../benchmarks", "benchmarks.md"),
    ],
)
def test_a_link_between_files_of_the_repository_leads_to_the_page_of_its_file(page, link, target):
    assert HOOKS["page_of"](HOOKS["repository_path"](page, link)) == target


def test_a_link_to_code_that_is_not_there_ends_the_build():
    assert "def build(" in HOOKS["code_page"]("examples/own_method.py")
    with pytest.raises(FileNotFoundError, match=r"gone\.py"):
        HOOKS["code_page"]("examples/gone.py")


def test_the_command_line_has_every_verb_with_its_options(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")  # restored afterwards
    monkeypatch.setattr(cli, "VERBS", {verb: VERBS[verb] for verb in ("match", "export onnx")})
    text = HOOKS["command_line"]()
    assert "| [export onnx](#export-onnx) |" in text and "## export onnx" in text
    assert "--matcher.mutual.max-ratio" in text and "\x1b" not in text and "## train" not in text


def test_the_api_has_every_public_name_and_every_module():
    pages = HOOKS["api_pages"]()
    assert all(f".{name}\n" in f"{pages['api/index.md']}\n" for name in tp.__all__ if name != "__version__")
    modules = [path for path in (ROOT / "src/traqpoint").rglob("*.py") if path.name != "__init__.py"]
    assert sum(text.count("::: traqpoint.") for name, text in pages.items() if name != "api/index.md") == len(modules)
