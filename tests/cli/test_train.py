"""The training verbs: options from files, and what they refuse."""

from pathlib import Path

import pytest

from traqpoint.cli.main import main
from traqpoint.cli.options import parse
from traqpoint.cli.train import Policy
from traqpoint.policy.config import PRESETS

PAPER = Path(__file__).parents[2] / "examples" / "policy_paper.yaml"


def test_the_example_file_is_the_paper_preset():
    args = ["--config", str(PAPER), "--descriptor", "traqpoint-s", "--out", "o", "--data.worlds-share", "1"]
    assert parse(Policy, args, "traqpoint train policy").policy == PRESETS["paper"]


def test_an_option_overrides_the_file():
    args = ["--config", str(PAPER), "--descriptor", "d", "--out", "o", "--data.worlds-share", "1"]
    assert parse(Policy, [*args, "--policy.cell-px", "7"], "traqpoint train policy").policy.cell_px == 7


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--data.photos", "{tmp}/nothing"], "nothing"),
        ([], "photos"),
        (["--data.photos", "{tmp}", "--loop.steps", "0"], "steps"),
        (["--data.worlds-share", "1", "--policy.window-px", "4"], "window_px"),
        (["--data.worlds-share", "1", "--descriptor", "nothing"], "nothing"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capfd, args, named):
    given = ["train", "policy", "--descriptor", "traqpoint-s", "--out", str(tmp_path / "run")]
    assert main([*given, *(word.format(tmp=tmp_path) for word in args)]) in (1, 2)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("traqpoint: error: ") and named in lines[0]
