"""Ray on this machine: two workers, killed workers and killed drivers."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'traqpoint[ray]'")

from random_inputs import blocks, write_pictures  # noqa: E402

from traqpoint.cli.main import main  # noqa: E402
from traqpoint.inference.merge import merge  # noqa: E402
from traqpoint.io.stores import open_features, open_matches  # noqa: E402

pytestmark = pytest.mark.slowest

IMAGES = 12
ON_TWO = ["--engine", "ray", "--actors", "2"]
SMALL = ["--device", "cpu", "--max-keypoints", "64", "--prominence", "0"]
KILLS = 10
KILLER = '''
import os
from contextlib import suppress
from pathlib import Path
from traqpoint.inference.runtimes.pytorch import build as build_torch

def build(model, config):
    """The network of every day; but each call takes a ticket, if there are any left, and some of these kill."""
    network = build_torch(model, config)

    def run(*arguments, **options):
        for ticket in sorted(Path("{folder}").glob("ticket-*")):
            with suppress(FileNotFoundError):  # the other worker was faster
                ticket.unlink()
                if ticket.name.endswith("kill"):
                    os.kill(os.getpid(), 9)
                break
        return network(*arguments, **options)

    return run
'''


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    return write_pictures(folder, (blocks(64, 96, i, block_px=3) for i in range(IMAGES)))


@pytest.fixture(scope="module")
def undisturbed(photos, tmp_path_factory):
    """Features and matches of one process."""
    out = tmp_path_factory.mktemp("one") / "features.h5"
    assert main(["extract", str(photos), "--out", str(out), *SMALL]) == 0
    assert main(["match", str(out), "--pairs", "sequential", "--device", "cpu"]) == 0
    return out


@pytest.fixture(scope="module")
def two_cores():
    """Ray on two cores, and its address."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


def same_features(a, b):
    with closing(open_features(a)) as first, closing(open_features(b)) as second:
        assert first.names() == second.names() and len(first.names()) == IMAGES
        for name in first.names():
            one, other = first.read(name).numpy(), second.read(name).numpy()
            assert all(np.array_equal(one[key], other[key]) for key in one), name


def test_two_workers_killed_at_random_make_what_one_process_makes(tmp_path, photos, undisturbed, two_cores, capsys):
    shards = IMAGES // 2
    fates = ["kill"] * KILLS + ["live"] * (shards - 1)  # each shard takes a live one, so all kills are taken
    random.Random(0).shuffle(fates)
    for i, fate in enumerate(fates):
        (tmp_path / f"ticket-{i:02}-{fate}").touch()
    (tmp_path / "killer.py").write_text(KILLER.format(folder=tmp_path))
    out = tmp_path / "shards"
    command = ["extract", str(photos), "--out", str(out), *ON_TWO, "--shard", "2", *SMALL]
    assert main([*command, "--backend", f"{tmp_path / 'killer.py'}:build"]) == 0
    assert f"{IMAGES} images done, 0 there already" in capsys.readouterr().out
    assert not list(tmp_path.glob("ticket-*"))
    merge([out], tmp_path / "features.h5")
    same_features(tmp_path / "features.h5", undisturbed)


def test_a_corrupt_image_costs_its_own_line_and_pairs_follow(tmp_path, photos, undisturbed, two_cores, capsys):
    """Extract, go on, match from shards, merge: what one process makes, and the bad image told each time."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in photos.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "bad.png").write_bytes(b"\x89PNG")
    extract = ["extract", str(folder), "--out", str(tmp_path / "f"), *ON_TWO, "--shard", "4", *SMALL]
    assert main(extract) == 1
    captured = capsys.readouterr()
    assert f"{IMAGES} images done, 0 there already, 1 failed" in captured.out and "bad.png" in captured.err
    assert main(extract) == 1 and f"0 images done, {IMAGES} there already, 1 failed" in capsys.readouterr().out
    match = ["match", str(tmp_path / "f"), "--out", str(tmp_path / "m"), "--pairs", "sequential", *ON_TWO]
    assert main([*match, "--shard", "2", "--device", "cpu"]) == 0
    assert main(["merge", str(tmp_path / "f"), str(tmp_path / "m"), "--out", str(tmp_path / "all.h5")]) == 0
    same_features(tmp_path / "all.h5", undisturbed)
    with (
        closing(open_matches(tmp_path / "all-matches.h5")) as found,
        closing(open_matches(undisturbed.with_name("features-matches.h5"))) as expected,
        closing(open_features(undisturbed)) as features,
    ):
        pairs = expected.pairs(features.names())
        assert len(found) == len(expected) == len(pairs)
        assert all(np.array_equal(found.read(*pair).indices, expected.read(*pair).indices) for pair in pairs)
    assert main([*extract, "--nms-radius", "3"]) == 1
    assert "holds shards of another configuration (extractor.nms_radius: 2 there, 3 here)" in capsys.readouterr().err


def test_a_killed_driver_loses_the_shards_in_flight_at_most(tmp_path, photos, undisturbed, two_cores, capsys):
    """The cluster lives on, and ends the workers of the driver that it lost."""
    out = tmp_path / "shards"
    words = ["extract", str(photos), "--out", str(out), *ON_TWO, "--shard", "1", *SMALL]
    code = f"import sys; from traqpoint.cli.main import main; sys.exit(main({[*words, '--address', two_cores]!r}))"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    deadline = time.monotonic() + 240
    while len(list(out.glob("*.json"))) < 4 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    finished = len(list(out.glob("*.json")))
    assert main(words) == 0
    done, there = (int(word) for word in capsys.readouterr().out.split() if word.isdigit())
    assert done + there == IMAGES and there >= finished
    merge([out], tmp_path / "features.h5")
    same_features(tmp_path / "features.h5", undisturbed)
