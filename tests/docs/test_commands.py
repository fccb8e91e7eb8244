"""Every command and every snippet of the documents is run, page by page from top to bottom, at a small size.

What is not run stands in NOT_RUN, with the reason. Pages that need minutes are for ``make test-slow``.
"""

import runpy
import sys
from importlib.util import find_spec

import pytest
import torch
from document_inputs import PLACEHOLDERS, write_inputs
from documents import PAGES, SHELL, blocks, commands, name_of

from traqpoint.cli.main import main

QUICK = ("docs/start.md", "docs/tutorials/match.md")
"""What a newcomer runs first, in the suite that runs always."""
OTHERS = {"docs/train_your_own.md": "tests/docs/test_train_your_own.py"}
"""Pages with a test of their own."""
NOT_RUN = {
    "make": "makes an environment; .ci/run",
    "python3 -m venv": "makes an environment; .ci/run",
    "pip": "makes an environment; tests/test_package.py",
    "npm": "downloads",
    "node": "tests/examples/test_other_languages.py",
    "g++": "tests/examples/test_other_languages.py",
    "./extract": "tests/examples/test_other_languages.py",
    "colmap": "COLMAP, built with ONNX",
    "torchrun": "tests/training/test_processes.py",
    "python -m pytest": "these tests",
    "python benchmarks": "hours, on research data; their options in tests/architecture, parts in tests/benchmarks",
    "DATA=": "a variable of the benchmarks' shell",
    "traqpoint demo": "a minute; tests/apps/test_demo.py",
    "traqpoint data megadepth-sequences": "MegaDepth; tests/data/posed/test_megadepth.py",
    "traqpoint web": "a server; tests/apps/test_web_page.py",
    "traqpoint convert": "the authors' checkpoint; tests/models/test_convert.py",
}
"""How a command begins -> why it is not run here."""
NOT_RUN_WITH = {
    "MEGADEPTH": "MegaDepth; tests/data/posed/test_megadepth.py",
    "--camera": "a webcam; tests/apps/test_camera_path.py",
    "PEERS": "weights of other methods; tests/evaluation/methods/test_peers.py",
    "base.safetensors": "the authors' checkpoint; tests/models/test_parity.py",
}
"""A word of a command -> why it is not run here."""
NEEDS = {"openvino": "openvino", "model.rrd": "rerun"}
"""A word of a command -> the library without which it is left out."""

TRAINING = ["--loop.steps", "2", "--loop.batch-size", "1", "--loop.accumulate", "1", "--loop.workers", "0"]
TRAINING += ["--loop.device", "cpu", "--data.homography.image-size", "96", "--data.worlds.image-size", "64", "64"]
TRAINING += ["--data.worlds.num-textures", "2", "--data.worlds.texture-size", "32"]
SMALL = {
    "train": TRAINING,
    "extract": ["--device", "cpu", "--max-keypoints", "256"],
    "match": ["--device", "cpu"],
    "track": ["--device", "cpu"],
    "vo": ["--device", "cpu"],
    "sfm": ["--device", "cpu", "--num-threads", "1"],
    "view matches": ["--device", "cpu"],
    "view scores": ["--device", "cpu"],
    "data": ["--device", "cpu"],
    "eval tracks": ["--device", "cpu", "--limit", "2", "--max-keypoints", "128"],
    "eval": ["--device", "cpu", "--max-keypoints", "256"],
}
"""Beginning of a verb -> options that make it small; the first that fits."""
BEFORE = {
    "docs/matching.md": """
import torch, traqpoint as tp
extractor = tp.Extractor(max_keypoints=256, device="cpu")
a, b = extractor("a.jpg"), extractor("b.jpg")
camera_a = camera_b = torch.tensor([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
""",
    "docs/base_model.md": "import torch; images = torch.rand(1, 3, 64, 64)",
}
"""Page -> what its first snippet takes as given."""


def why_not(words):
    """Why a command is not run, or None."""
    line = " ".join(words)
    given = [reason for word, reason in NOT_RUN_WITH.items() if word in words]
    return next((reason for start, reason in NOT_RUN.items() if line.startswith(start)), given[0] if given else None)


def arguments_of(words):
    """A traqpoint command's words, with the inputs' names in place of the placeholders, at a small size."""
    words = [PLACEHOLDERS.get(word, word) for word in words[1:]]
    small = next((options for start, options in SMALL.items() if " ".join(words).startswith(start)), [])
    return words if words[:2] == ["eval", "compare"] or "--tyro-print-completion" in words else [*words, *small]


def run(words):
    """A command, in this process if it is one of ours."""
    if words[0] == "traqpoint":
        try:
            assert main(arguments_of(words)) == 0, words
        except SystemExit as exit:  # --help and the like
            assert not exit.code, words
    else:
        assert words[0] == "python" and words[1].endswith(".py"), f"neither run nor in NOT_RUN: {words}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", words[1:])
            runpy.run_path(words[1], run_name="__main__")


def absent(words):
    """The library that a command needs and that is not installed, or None."""
    return next((library for word, library in NEEDS.items() if word in words and not find_spec(library)), None)


def run_page(page):
    scope = {"__name__": "document"}
    exec(BEFORE.get(name_of(page), ""), scope)
    for number, (language, text) in enumerate(blocks(page), 1):
        if language == "python":
            exec(compile(text, f"{name_of(page)}, block {number}", "exec"), scope)
        elif language in SHELL:
            for words in commands(text):
                if why_not(words) is None and absent(words) is None:
                    run(words)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def workspace(inputs):
    """A COLMAP model of the photographs, with them."""
    pytest.importorskip("pycolmap")
    command = ["sfm", str(inputs / "photos"), "--out", str(inputs / "workspace"), "--device", "cpu"]
    assert main([*command, "--num-threads", "1"]) == 0
    (inputs / "workspace" / "images").symlink_to(inputs / "photos")


@pytest.fixture
def folder(inputs, tmp_path, monkeypatch):
    """A working folder of the page's own in which the inputs lie."""
    for entry in inputs.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("TRAQPOINT_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    return tmp_path


RUN = [page for page in PAGES if name_of(page) not in OTHERS and blocks(page)]


@pytest.mark.parametrize("page", [page for page in RUN if name_of(page) in QUICK], ids=name_of)
def test_what_a_newcomer_reads_first_runs(page, folder):
    run_page(page)


@pytest.mark.slowest
@pytest.mark.parametrize("page", [page for page in RUN if name_of(page) not in QUICK], ids=name_of)
def test_every_command_and_snippet_of_the_page_runs(page, workspace, folder):
    run_page(page)


def test_every_block_is_run_or_says_that_it_is_no_code():
    for page in PAGES:
        unknown = {language for language, _ in blocks(page)} - {*SHELL, "python", "text"}
        assert not unknown, f"{name_of(page)}: {unknown}"


def test_every_command_is_run_or_has_a_reason_not_to_be():
    """And every reason is needed."""
    used = set()
    for page in PAGES:
        for language, text in blocks(page):
            for words in commands(text) if language in SHELL else ():
                ours = words[0] == "traqpoint" or (words[0] == "python" and words[1].startswith("examples/"))
                reason = why_not(words)
                assert ours or reason, f"{name_of(page)}: {' '.join(words)}"
                used.add(reason)
    assert not [start for start, reason in (NOT_RUN | NOT_RUN_WITH).items() if reason not in used]


def test_every_page_with_a_test_of_its_own_and_every_quick_one_exists():
    names = {name_of(page) for page in PAGES}
    assert names >= {*QUICK, *OTHERS, *BEFORE}
    assert all((PAGES[0].parent / test).is_file() for test in OTHERS.values())
