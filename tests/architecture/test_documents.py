"""What the documents say is there: files, links, names, and the options of their commands."""

import ast
import dataclasses
import importlib
import operator
import re
import types
import typing
from functools import cache

import pytest
from documents import PAGES, ROOT, SHELL, blocks, commands, name_of

import traqpoint as tp
from traqpoint.cli.main import VERBS

PACKAGE = ROOT / "src" / "traqpoint"
FOLDERS = ("src", "tests", "docs", "benchmarks", "examples")
OURS = {path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()}
PLACEHOLDERS = {"file.py", "my.py", "FILE.yaml", "config.yaml"}
"""Names that stand for a file of the reader's, or are written by a run."""

pages = pytest.mark.parametrize("page", PAGES, ids=name_of)


def text_of(page):
    return page.read_text(encoding="utf-8")


def prose(page):
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text_of(page), flags=re.MULTILINE | re.DOTALL)


def exists(path):
    """As a path of the repository, or one below the package."""
    return (ROOT / path).exists() or (PACKAGE / path).exists()


def anchors(page):
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not target.startswith("http"):
            file, _, anchor = target.partition("#")
            linked = (page.parent / file).resolve() if file else page
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked), target


@pages
def test_an_empty_line_ends_every_table(page):
    """Else the line after it becomes its last row."""
    swallowed = re.search(r"^\|.*\n(?!\||\s*$)(.+)", prose(page), re.MULTILINE)
    assert swallowed is None, swallowed[1]


@pages
def test_every_file_that_is_named_exists(page):
    for path in re.findall(r"(?<![\w/.…-])[\w.-]+(?:/[\w.-]+)*\.(?:py|md|ya?ml|toml)\b", text_of(page)):
        if "/" not in path:
            assert path in OURS | PLACEHOLDERS or (ROOT / path).is_file(), path
        elif not path.startswith("path/to/") and "NAME" not in path:
            assert exists(path) or (page.parent / path).exists(), path


@pages
def test_every_folder_of_the_repository_that_is_named_exists(page):
    text = text_of(page)
    named = re.findall(rf"(?<![\w/.-])(?:{'|'.join(FOLDERS)})/[\w/-]*(?![\w./-])", text)
    if page.name == "ARCHITECTURE.md":
        named += re.findall(r"`([\w/]+/)`", text)
    assert not [folder for folder in named if not exists(folder)]


def named_in(file, name):
    """Whether a Python file, which may need what is not installed, defines `name`."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return name in {getattr(node, "name", None) for node in tree.body}


@pages
def test_every_name_of_the_package_that_is_mentioned_exists(page):
    text = text_of(page)
    for dotted in re.findall(r"(?<![\w/.])traqpoint((?:\.\w+)+)(?!\.?\w)", text):
        if not dotted.endswith((".safetensors", ".onnx")):
            assert is_there(dotted[1:]), dotted
    for path, name in re.findall(r"(examples/\w+\.py):(\w+)", text):
        assert named_in(ROOT / path, name), f"{path}:{name}"
    if page.name == "ARCHITECTURE.md":
        for module, name in re.findall(r"`([a-z_]+(?:\.[a-z_]+)*):([A-Za-z_]+(?:\.\w+)*)`", text):
            if module not in ("module", "my_module"):
                operator.attrgetter(name)(importlib.import_module(f"traqpoint.{module}"))


def is_there(dotted):
    """Whether traqpoint.`dotted` is a module, or a name in one."""
    thing = tp
    for i, name in enumerate(parts := dotted.split(".")):
        try:
            thing = getattr(thing, name)
        except AttributeError:
            try:
                thing = importlib.import_module(f"traqpoint.{'.'.join(parts[: i + 1])}")
            except ModuleNotFoundError:
                return False
    return True


@pages
def test_what_a_block_of_python_imports_exists(page):
    for block in (text for language, text in blocks(page) if language == "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("traqpoint"):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), node.module
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tp":
                assert hasattr(tp, node.attr), node.attr


def options_of(kind, prefix="--"):
    """The options that a dataclass becomes on the command line."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name = f"{prefix}{field.name.replace('_', '-')}"
        yield name
        hint = hints[field.name]
        for inner in typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,):
            if dataclasses.is_dataclass(inner):
                yield from options_of(inner, f"{name}.")


@cache
def options(verb):
    module, name = VERBS[verb][0].split(":")
    return {
        "--help",
        "--config",
        "--preset",
        "--tyro-print-completion",
        *options_of(getattr(importlib.import_module(module), name)),
    }


def verb_of(words):
    return next((verb for verb in (" ".join(words[:2]), words[0]) if verb in VERBS), None)


@pages
def test_every_command_has_a_verb_and_options_that_there_are(page):
    shell = (text for language, text in blocks(page) if language in SHELL)
    for words in (words for text in shell for words in commands(text) if words != ["traqpoint", "--version"]):
        given = [word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)]
        if words[:1] == ["traqpoint"]:
            verb = verb_of(words[1:])
            assert verb, words
            assert not set(given) - options(verb), f"{verb}: {sorted(set(given) - options(verb))}"
        if words[:1] == ["python"] and words[1].endswith(".py"):
            script = (ROOT / words[1]).read_text(encoding="utf-8")
            unknown = [o for o in given if not re.search(rf"\b{o[2:].replace('-', '_')}\b", script)]
            assert not unknown, f"{words[1]}: {unknown}"


@pages
def test_every_option_of_the_text_belongs_to_a_verb(page):
    known = {option for verb in VERBS for option in options(verb)}
    for option in re.findall(r"(?<![\w-])--[a-z]+(?:[.-][a-z]+)*\.[a-z-]+(?:\.[a-z-]+)*", text_of(page)):
        assert option in known, option


def test_every_public_name_is_in_the_docstring_of_the_package():
    assert not [name for name in tp.__all__ if f"`{name}`" not in tp.__doc__ and name != "__version__"]


def needed_by_extra():
    """Extra -> the verbs that need it, of the table in docs/start.md."""
    rows = re.findall(r"^\| `(\w+)` \|.*\|(.*)\|$", text_of(ROOT / "docs" / "start.md"), re.MULTILINE)
    return {extra: {verb for verb in re.findall(r"`([^`]+)`", what) if verb in VERBS} for extra, what in rows}


def test_every_extra_for_users_is_in_the_table_of_the_first_page():
    _, _, after = text_of(ROOT / "pyproject.toml").partition("[project.optional-dependencies]\n")
    extras = re.findall(r"^(\w+) = \[", after.partition("\n[")[0], re.MULTILINE)
    assert {*needed_by_extra(), "browser", "docs", "dev"} == set(extras)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "tutorials" in page.parts or "train_your" in page.name], ids=name_of
)
def test_a_tutorial_names_the_extras_that_its_commands_need(page):
    shell = (text for language, text in blocks(page) if language in SHELL)
    verbs = {verb_of(words[1:]) for text in shell for words in commands(text) if words[0] == "traqpoint"}
    needed = {extra for extra, wanting in needed_by_extra().items() if verbs & wanting}
    assert not [extra for extra in needed if f"`{extra}`" not in prose(page)]
