"""The training verbs: options from files, and what they refuse."""

import pytest

from traqpoint.cli.main import main
from traqpoint.cli.options import UsageError, parse
from traqpoint.cli.train import Policy
from traqpoint.policy.config import changed
from traqpoint.policy.presets import PRESETS

COMMON = ["--descriptor", "d", "--out", "o", "--data.mixture", "worlds", "1"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_the_whole_policy(name):
    assert parse(Policy, [*COMMON, "--preset", name], "traqpoint train policy").policy == PRESETS[name]


def test_an_option_overrides_the_file_and_the_file_the_preset(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text("policy: {sampling: {cell_px: 7}, entropy: {tile_px: 9}, reward: {rank: {floor: 0.1}}}")
    args = [*COMMON, "--preset", "paper", "--config", str(file), "--policy.sampling.cell-px", "11"]
    expected = changed(
        PRESETS["paper"], sampling={"cell_px": 11}, entropy={"tile_px": 9}, reward={"rank": {"floor": 0.1}}
    )
    assert parse(Policy, args, "traqpoint train policy").policy == expected


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="traqpoint, paper, reference"):
        parse(Policy, [*COMMON, "--preset", "papre"], "traqpoint train policy")


SMALL_WORLDS = ["--data.mixture", "worlds", "1", "--data.worlds.num-textures", "1", "--data.worlds.texture-size", "64"]


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--data.photos", "{tmp}/nothing"], "nothing"),
        ([], "photos"),
        (["--data.photos", "{tmp}", "--loop.steps", "0"], "steps"),
        (["--data.mixture", "worlds", "1", "--policy.reward.redetection.window-px", "4"], "window_px"),
        ([*SMALL_WORLDS, "--descriptor", "nothing"], "nothing"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capfd, args, named):
    given = ["train", "policy", "--descriptor", "traqpoint-s", "--out", str(tmp_path / "run")]
    assert main([*given, *(word.format(tmp=tmp_path) for word in args)]) in (1, 2)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("traqpoint: error: ") and named in lines[0]
