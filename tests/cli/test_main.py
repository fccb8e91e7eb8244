"""The command line: verbs, options, files of options, exit codes and messages."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import tyro
from random_inputs import blocks, write_pictures

from traqpoint.cli import main as cli
from traqpoint.cli.main import main
from traqpoint.cli.options import UsageError, parse
from traqpoint.errors import ConfigError
from traqpoint.image import write_image
from traqpoint.io.npz import load_features, load_tracks
from traqpoint.models.traqpoint import TraqPoint


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a verb."""

    inputs: tyro.conf.Positional[tuple[Path, ...]]
    """Inputs."""
    out: Path
    """Output."""
    count: int = 3
    """A number."""
    ratio: float | None = None
    """A share."""
    verbose: bool = False
    """Say more."""


def overlay(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "options.yaml").write_text(text)
    return ["--config", str(tmp_path / "options.yaml")]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    """An untrained network's weight file."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    TraqPoint().save_pretrained(path, {"license": "Apache-2.0"})
    return str(path)


@pytest.fixture
def photos(tmp_path) -> Path:
    return write_pictures(tmp_path / "photos", (blocks(64, 96, i, block_px=1) for i in range(3)))


def test_a_file_gives_defaults_that_the_command_line_overrules(tmp_path):
    """File over default, command line over file; required options may come from the file."""
    config = overlay(tmp_path, "out: somewhere\ncount: 5\nratio: 1\ninputs: [a, b]\nverbose: true\n")
    options = parse(Options, [*config, "--count", "7"], "prog")
    assert (options.out, options.count, options.ratio, options.verbose) == (Path("somewhere"), 7, 1.0, True)
    assert options.inputs == (Path("a"), Path("b")) and isinstance(options, Options)
    assert parse(Options, ["x", "--out", "o"], "prog") == Options(inputs=(Path("x"),), out=Path("o"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cuont: 5", "unknown key 'cuont'; known are inputs, out, count"),
        ("count: many", "count: 'many' is not int"),
        ("count: true", "count: True is not int"),
        ("verbose: 1", "verbose: 1 is not bool"),
        ("- a\n- b", "expected a YAML mapping"),
        ("a: [", "not a YAML file"),
    ],
)
def test_bad_files_of_options_are_errors(tmp_path, text, message):
    """Unknown keys and wrong types raise ConfigError in one line that names the file."""
    with pytest.raises(ConfigError, match=r"options\.yaml") as caught:
        parse(Options, overlay(tmp_path, text), "prog")
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["a", "--out", "x", "--foo", "3"], "--foo"),
        (["a", "--out", "x", "--coutn", "3"], "perhaps you meant --count"),
        (["a"], "--out"),
        (["a", "--out", "x", "--count", "many"], "many"),
        (["a", "--config"], "--config needs"),
    ],
)
def test_wrong_usage_is_one_line(args, message):
    """Unknown, missing and malformed options raise UsageError without a frame around it."""
    with pytest.raises(UsageError) as caught:
        parse(Options, args, "prog")
    assert message in str(caught.value) and "\n" not in str(caught.value) and "│" not in str(caught.value)


def test_help_lists_every_option_with_its_meaning(capsys):
    """--help of every verb shows the docstring of every field and exits with 0."""
    for verb in cli.VERBS:
        with pytest.raises(SystemExit) as exit:
            main([*verb.split(), "--help"])
        assert not exit.value.code
        assert f"usage: traqpoint {verb}" in capsys.readouterr().out
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in cli.VERBS)


def test_unknown_verbs_exit_with_2(capsys):
    """One line that lists what there is."""
    assert main(["exrtact"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("traqpoint: error: no command 'exrtact'") and error.count("\n") == 1 and "extract" in error
    assert main([]) == 2


def test_extract_match_and_info_end_to_end(tmp_path, photos, weights, capsys):
    """A folder is extracted, extended, matched and described with exit code 0; repeated, nothing is done again."""
    extract = ["extract", str(photos), "--out", str(tmp_path / "f"), "--weights", weights, "--prominence", "0"]
    assert main([*extract, "--max-keypoints", "50"]) == 0
    assert "3 images done, 0 there already" in capsys.readouterr().out
    features = load_features(tmp_path / "f/0.png.npz")
    assert 0 < len(features) <= 50 and features.image_size == (96, 64)
    assert main([*extract, "--max-keypoints", "50"]) == 0
    assert "0 images done, 3 there already" in capsys.readouterr().out
    assert main([*extract, "--max-keypoints", "60"]) == 1
    assert "extractor.max_keypoints: 50 there, 60 here" in capsys.readouterr().err
    match = ["match", str(tmp_path / "f"), "--pairs", "sequential", "--window", "1", "--device", "cpu"]
    assert main(match) == 0 and (tmp_path / "f-matches/0.png/1.png.npz").is_file()
    assert "2 pairs done" in capsys.readouterr().out
    assert main(["info", weights]) == 0
    shown = capsys.readouterr().out
    assert "parameters" in shown and "sha256" in shown and "Apache-2.0" in shown


def test_a_large_photograph_is_shrunk_and_the_last_line_says_so(tmp_path, weights, capsys):
    """Together with a small one, in batches, by one thread: options of the folder change no features."""
    write_pictures(tmp_path / "photos", [blocks(32, 1700, 0), blocks(32, 96, 1)])
    args = ["extract", str(tmp_path / "photos"), "--weights", weights, "--prominence", "0", "--device", "cpu"]
    assert main([*args, "--out", str(tmp_path / "f"), "--batch", "2", "--workers", "1"]) == 0
    assert "2 images done, 0 there already; shrunk first, to --long-side: 1" in capsys.readouterr().out
    large = load_features(tmp_path / "f/0.png.npz")
    assert large.image_size == (1700, 32) and large.found_at == (1600, 30)
    assert load_features(tmp_path / "f/1.png.npz").found_at == (96, 32)


def test_track_end_to_end(tmp_path, photos, weights, capsys):
    """A folder of frames gives tracks, statistics, a picture and a video."""
    args = ["track", str(photos), "--out", str(tmp_path / "t"), "--weights", weights, "--prominence", "0"]
    assert main([*args, "--max-keypoints", "30", "--min-similarity", "-1"]) == 0
    assert load_tracks(tmp_path / "t/tracks.npz").num_frames == 3
    assert all((tmp_path / "t" / name).is_file() for name in ("tracks.png", "tracks.webm", "statistics.json"))
    assert "3 frames" in capsys.readouterr().out


def test_without_a_screen_track_says_so_and_writes_the_film(tmp_path, photos, weights, capsys, monkeypatch):
    """One line each: --show without a window and without --out, with --out, no camera, no source, and two."""
    monkeypatch.setattr("traqpoint.viz.window.why_no_window", lambda: "there is no screen")
    track = ["track", "--weights", weights, "--device", "cpu"]
    said = {
        "": "track needs a video, a folder of frames or --camera 0",
        f"{photos} --camera 0 --show": "one of them only",
        "--camera 0 --show": "there is no screen: give --out FOLDER",
        f"--camera 99 --out {tmp_path}/o": "webcam 99: cannot be opened as a video (none there, or in use)",
        f"{photos}": "without --show there is no window: give --out FOLDER",
    }
    for args, message in said.items():
        assert main([*track, *args.split()]) == 1
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert main([*track, str(photos), "--show", "--out", str(tmp_path / "t"), "--max-keypoints", "20"]) == 0
    assert f"watch {tmp_path}/t/tracks.webm instead" in capsys.readouterr().err
    assert (tmp_path / "t/tracks.webm").is_file()


def test_bad_images_give_one_line_each_and_exit_code_1(tmp_path, photos, weights, capfd):
    """The rest is done; nothing but our own lines reaches stderr."""
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "text.png").write_bytes(b"hello")
    args = ["extract", str(photos), "--out", str(tmp_path / "f.h5"), "--weights", weights, "--device", "cpu"]
    assert main([*args, "--max-keypoints", "10"]) == 1
    captured = capfd.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 2 and all(line.startswith("traqpoint: error: ") for line in lines)
    assert "empty.jpg" in lines[0] and "text.png" in lines[1]
    assert "3 images done, 0 there already, 2 failed" in captured.out


@pytest.mark.parametrize(
    "args",
    [
        ["extract", "{tmp}/empty", "--out", "{tmp}/o", "--weights", "{weights}"],
        ["extract", "--out", "{tmp}/o", "--weights", "{weights}"],
        ["extract", "{tmp}/photos", "--out", "{tmp}/o", "--weights", "nothing"],
        ["extract", "{tmp}/photos", "--out", "{tmp}/photos/0.png", "--weights", "{weights}"],
        ["extract", "{tmp}/photos", "--out", "{tmp}/o", "--weights", "{weights}", "--max-keypoints", "0"],
        ["match", "{tmp}/nothing"],
        ["match", "{tmp}/photos", "--matcher.mutual.max-ratio", "3"],
        ["match", "{tmp}/photos", "--matcher.method", "magic"],
        ["match", "{tmp}/photos", "--matcher.method", "lightglue"],
        ["sfm", "{tmp}/photos", "--out", "{tmp}/o", "--weights", "{weights}", "--matcher.method", "lightglue"],
        [
            "track",
            "{tmp}/photos",
            "--out",
            "{tmp}/o",
            "--weights",
            "{weights}",
            "--matcher.method",
            "{tmp}/no.py:build",
        ],
        ["track", "{tmp}/nothing.mp4", "--out", "{tmp}/o", "--weights", "{weights}"],
        ["info", "{tmp}/text.mp4"],
        ["extract", "{tmp}/photos", "--out", "{tmp}/text.mp4/o", "--weights", "{weights}"],
        ["track", "{tmp}/photos", "--out", "{tmp}/text.mp4", "--weights", "{weights}"],
        [
            "train",
            "descriptor",
            "--data.mixture",
            "worlds",
            "1",
            "--data.worlds.num-textures",
            "2",
            "--out",
            "{tmp}/text.mp4",
        ],
    ],
)
def test_bad_input_is_one_line_and_a_nonzero_exit_code(tmp_path, photos, weights, capfd, args):
    """No traceback, no library chatter, one line on stderr."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_bytes(b"hello" * 99)
    # A value that no configuration takes is wrong usage (2) where the parser meets it, bad input (1) later.
    assert main([word.format(tmp=tmp_path, weights=weights) for word in args]) in (1, 2)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("traqpoint: error: ")


@pytest.mark.slow
def test_a_damaged_video_is_one_line(tmp_path, weights):
    """In a process of its own, because FFmpeg's chatter is set once: only our line reaches stderr."""
    (tmp_path / "text.mp4").write_bytes(b"hello" * 99)
    args = ["track", str(tmp_path / "text.mp4"), "--out", str(tmp_path / "o"), "--weights", weights]
    ended = subprocess.run([sys.executable, "-m", "traqpoint.cli.main", *args], capture_output=True, text=True)
    assert ended.returncode == 1
    assert (
        ended.stderr.count("\n") == 1 and ended.stderr.startswith("traqpoint: error: ") and "text.mp4" in ended.stderr
    )


@pytest.mark.slow
def test_ctrl_c_is_exit_code_130_and_keeps_what_is_finished(tmp_path, weights):
    """SIGINT in the middle of a run: one line, 130, valid files, and the next run goes on."""
    for i in range(300):
        noise = np.random.default_rng(i).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        write_image(tmp_path / f"photos/{i:03}.png", noise)
    out = tmp_path / "f"
    args = ["extract", str(tmp_path / "photos"), "--out", str(out), "--weights", weights, "--device", "cpu"]
    command = [sys.executable, "-m", "traqpoint.cli.main", *args]
    # Shells start background jobs with SIGINT ignored, which children inherit: the suite may be one.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while not (out / "002.png.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error.count("\n") == 1 and error.startswith("traqpoint: interrupted")
    finished = sorted(out.glob("*.npz"))
    assert 3 <= len(finished) < 300 and not list(out.glob(".*"))
    assert all(load_features(path).image_size == (64, 64) for path in finished)


def test_help_starts_without_torch_or_opencv():
    """`traqpoint --help` and a verb's --help load neither, so they answer at once."""
    code = (
        "import json, sys\nfrom traqpoint.cli.main import main\n"
        "for args in json.loads(sys.argv[1]):\n"
        "    try:\n        main([*args, '--help'])\n    except SystemExit:\n        pass\n"
        "    heavy = {'torch', 'cv2', 'h5py', 'pycolmap'} & set(sys.modules)\n    assert not heavy, (args, heavy)"
    )
    verbs = ["extract", "match", "track", "info", "train descriptor", "train policy", "data megadepth-sequences"]
    verbs += [verb for verb in cli.VERBS if verb.startswith("eval ")]
    command = [sys.executable, "-c", code, json.dumps([[], *(verb.split() for verb in verbs)])]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)


@pytest.mark.slow
def test_a_reader_that_leaves_early_gets_no_traceback(weights):
    """`traqpoint info | head -0` says nothing on stderr."""
    command = [sys.executable, "-m", "traqpoint.cli.main", "info", weights]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.wait(60) == 1 and process.stderr.read() == b""
    process.stderr.close()


def test_warnings_are_one_line(monkeypatch, capfd):
    """Without the file and the line of code that Python adds."""
    monkeypatch.setattr(
        cli, "_split", lambda args: warnings.warn("a film\nbroke off", stacklevel=1) or ("info", args[1:])
    )
    assert main(["info", "nothing"]) == 1
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "traqpoint: warning: a film broke off" and len(lines) == 2
