"""Extraction of folders: names, resuming, bad files, interruption, kill."""

import signal
import struct
import subprocess
import sys
import threading
import zlib
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import traqpoint.inference.pipeline as pipeline
from traqpoint.errors import ConfigError, DataError, ImageError
from traqpoint.image import write_image
from traqpoint.inference.config import FlowConfig
from traqpoint.inference.extractor import Extractor
from traqpoint.inference.images import MAX_WASTE, in_groups, name_images, read_ahead
from traqpoint.inference.pairs import exhaustive_pairs
from traqpoint.inference.pipeline import extract_folder, extract_into, match_pairs
from traqpoint.inference.settings import settings_path
from traqpoint.io.npz import load_features
from traqpoint.io.stores import FORMATS, open_features, resolve_output
from traqpoint.models.traqpoint import TraqPoint


@pytest.fixture
def photos(tmp_path, panorama) -> Path:
    """left/1.png, left/2.png and right/1.png."""
    for i, name in enumerate(("left/1.png", "left/2.png", "right/1.png")):
        write_image(tmp_path / "photos" / name, panorama[:, 10 * i : 10 * i + 100])
    return tmp_path / "photos"


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_holds_the_same_features(tmp_path, photos, corner_extractor, format):
    """Names mirror the folders, equal stems in different folders stay apart, pixels are equal bit by bit."""
    report = extract_folder(photos, tmp_path / "out", corner_extractor(), format)
    assert report.done == ("left/1.png", "left/2.png", "right/1.png") and not report.failed and not report.skipped
    store = open_features(report.out)
    assert store.names() == list(report.done)
    for name in report.done:
        direct = corner_extractor()(np.ascontiguousarray(_read(photos / name)))
        stored = store.read(name)
        assert len(stored) > 5 and stored.image_size == direct.image_size
        assert torch.equal(stored.keypoints, direct.keypoints)
        assert torch.equal(stored.descriptors, direct.descriptors)
    store.close()


def _read(path):
    from traqpoint.image import read_image

    return read_image(path)


@pytest.mark.parametrize("format", FORMATS)
def test_a_second_run_does_only_what_is_missing(tmp_path, photos, panorama, corner_extractor, format):
    """Finished images are not even read again; a new image is added."""
    extract_folder(photos, tmp_path / "out", corner_extractor(), format)
    write_image(photos / "new.png", panorama)
    again = corner_extractor()
    report = extract_folder(photos, tmp_path / "out", again, format)
    assert report.done == ("new.png",) and len(report.skipped) == 3 and again.calls == 1


@pytest.mark.parametrize("format", FORMATS)
def test_ctrl_c_keeps_what_is_finished(tmp_path, photos, corner_extractor, format):
    """Interrupted in the second image, the first one stays, and the next run does the other two."""

    class Interrupted(corner_extractor):
        def __call__(self, image):
            if self.calls == 1:
                raise KeyboardInterrupt
            return super().__call__(image)

    with pytest.raises(KeyboardInterrupt):
        extract_folder(photos, tmp_path / "out", Interrupted(), format)
    report = extract_folder(photos, tmp_path / "out", corner_extractor(), format)
    assert report.skipped == ("left/1.png",) and report.done == ("left/2.png", "right/1.png")


WORKER = """
import sys, time, torch
from dataclasses import dataclass
from traqpoint.inference.pipeline import extract_folder
from traqpoint.types import Features

@dataclass(frozen=True)
class Config:
    weights: str = "none"

class Slow:
    config = Config()
    def __call__(self, image):
        time.sleep(float(sys.argv[4]))
        n = 200
        xy = torch.full((n, 2), float(image[0, 0, 0]))
        return Features(xy, torch.ones(n), torch.ones(n, 64) / 8, (image.shape[1], image.shape[0]))

def show(done, total):
    print(done, flush=True)

report = extract_folder(sys.argv[1], sys.argv[2], Slow(), sys.argv[3], progress=show)
print("skipped", len(report.skipped), "done", len(report.done))
"""


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_a_killed_worker_loses_nothing(tmp_path, format):
    """After SIGKILL every image that was reported finished is there, and the next run makes the rest."""
    for i in range(12):
        write_image(tmp_path / f"photos/{i:02}.png", np.full((20, 20, 3), i + 1, dtype=np.uint8))
    command = [sys.executable, "-c", WORKER, str(tmp_path / "photos"), str(tmp_path / "out"), format]
    process = subprocess.Popen([*command, "0.02"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    finished = 0
    while finished < 4:
        finished = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    ended = subprocess.run([*command, "0"], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]
    _, skipped, _, done = ended.split()
    assert int(skipped) >= 4 and int(skipped) + int(done) == 12
    store = open_features(resolve_output(tmp_path / "out", format)[1])
    assert [store.read(name).keypoints[0, 0].item() for name in store.names()] == [i + 1 for i in range(12)]
    store.close()


def test_bad_images_are_collected_and_the_rest_goes_on(tmp_path, photos, corner_extractor):
    """Empty, truncated, non-image and missing files give one line each that names them; good ones are done."""
    whole = (photos / "left/1.png").read_bytes()
    for name, content in {"empty.png": b"", "cut.png": whole[: len(whole) // 2], "text.jpg": b"hello"}.items():
        (photos / name).write_bytes(content)
    report = extract_folder([photos, photos / "missing.png"], tmp_path / "out", corner_extractor())
    assert len(report.done) == 3
    assert sorted(Path(line.split(":")[0]).name for line in report.failed) == [
        "cut.png", "empty.png", "missing.png", "text.jpg",
    ]  # fmt: skip
    assert all("\n" not in line for line in report.failed)
    again = extract_folder(photos, tmp_path / "out", corner_extractor())
    assert len(again.skipped) == 3 and len(again.failed) == 3


def test_a_flat_image_has_an_empty_valid_result(tmp_path, corner_extractor):
    """Zero keypoints are a result like any other, in every format, and are skipped the next time."""
    write_image(tmp_path / "photos/flat.png", np.full((30, 40, 3), 128, dtype=np.uint8))
    for format in FORMATS:
        out = extract_folder(tmp_path / "photos", tmp_path / "out" / format, corner_extractor(), format).out
        store = open_features(out)
        assert len(store.read("flat.png")) == 0 and store.read("flat.png").image_size == (40, 30)
        store.close()
        assert extract_folder(tmp_path / "photos", tmp_path / "out" / format, corner_extractor(), format).skipped


def test_damaged_results_are_made_again(tmp_path, photos, corner_extractor):
    """A file that cannot be read does not count as finished."""
    extract_folder(photos, tmp_path / "out", corner_extractor())
    (tmp_path / "out/left/1.png.npz").write_bytes(b"PK")
    assert extract_folder(photos, tmp_path / "out", corner_extractor()).done == ("left/1.png",)
    assert len(load_features(tmp_path / "out/left/1.png.npz")) > 5


@pytest.mark.parametrize("format", FORMATS)
def test_configurations_never_mix(tmp_path, photos, corner_extractor, format):
    """Another configuration is refused with what differs; the device does not count; overwrite replaces all."""
    out = extract_folder(photos, tmp_path / "out", corner_extractor(max_keypoints=20), format).out
    config = yaml.safe_load(settings_path(out).read_text())
    assert config["extractor"] == {"weights": "opencv-corners", "max_keypoints": 20, "device": "cpu"}
    with pytest.raises(ConfigError, match=r"extractor\.max_keypoints: 20 there, 30 here"):
        extract_folder(photos, tmp_path / "out", corner_extractor(max_keypoints=30), format)
    same = extract_folder(photos, tmp_path / "out", corner_extractor(max_keypoints=20, device="cuda"), format)
    assert len(same.skipped) == 3
    report = extract_folder(
        photos / "left", tmp_path / "out", corner_extractor(max_keypoints=30), format, overwrite=True
    )
    assert report.done == ("1.png", "2.png")
    store = open_features(out)
    # right/1 of the old configuration is gone
    assert store.names() == ["1.png", "2.png"]
    store.close()


def test_results_of_unknown_origin_are_refused_and_never_deleted(tmp_path, photos, corner_extractor):
    """A folder with npz files and no config.yaml is not touched; with overwrite only equal names are replaced."""
    (tmp_path / "out").mkdir()
    np.savez(tmp_path / "out/precious.npz", x=1)
    with pytest.raises(ConfigError, match="unknown configuration"):
        extract_folder(photos, tmp_path / "out", corner_extractor())
    extract_folder(photos, tmp_path / "out", corner_extractor(), overwrite=True)
    assert (tmp_path / "out/precious.npz").is_file() and (tmp_path / "out/left/1.png.npz").is_file()


def test_an_existing_folder_with_other_things_is_fine(tmp_path, photos, corner_extractor):
    """Files of other kinds in the output folder are left alone."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    assert len(extract_folder(photos, tmp_path / "out", corner_extractor()).done) == 3
    assert (tmp_path / "out/notes.txt").read_text() == "mine"


def test_every_format_may_lie_in_one_folder_under_one_name(tmp_path, photos, corner_extractor):
    """f, f.h5 and f.db know their own settings, and each goes on where it was."""
    outs = [tmp_path / name for name in ("f", "f.h5", "f.db")]
    assert all(len(extract_folder(photos, out, corner_extractor()).done) == 3 for out in outs)
    assert all(len(match_pairs(out, exhaustive_pairs, device="cpu").done) == 3 for out in outs)
    assert all(len(extract_folder(photos, out, corner_extractor()).skipped) == 3 for out in outs)
    assert all(len(match_pairs(out, exhaustive_pairs, device="cpu").skipped) == 3 for out in outs)


@pytest.mark.parametrize("format", FORMATS)
def test_images_of_one_stem_are_all_kept(tmp_path, photos, panorama, corner_extractor, format):
    """1.png, 1.jpg and 1.JPG, in one run or one after the other, each with its own features and matches."""
    names = ["left/1.JPG", "left/1.jpg", "left/1.png", "left/2.png", "right/1.png"]
    extract_folder(photos, tmp_path / "out", corner_extractor(), format)
    for i, name in enumerate(names[:2]):
        write_image(photos / name, panorama[:, 40 + 15 * i : 150 + 15 * i])
    report = extract_folder(photos, tmp_path / "out", corner_extractor(), format)
    assert report.done == ("left/1.JPG", "left/1.jpg") and len(report.skipped) == 3
    with closing(open_features(report.out)) as store:
        assert store.names() == names
        points = [store.read(name).keypoints for name in names]
    assert len({tuple(xy[:5].flatten().tolist()) for xy in points}) == 5
    assert len(match_pairs(report.out, exhaustive_pairs, device="cpu").done) == 10
    assert len(match_pairs(report.out, exhaustive_pairs, device="cpu").skipped) == 10


def test_folders_without_images_are_named(tmp_path, corner_extractor):
    """No folder, an empty folder and no argument at all raise DataError or are reported, and write nothing."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no images"):
        extract_folder(tmp_path / "empty", tmp_path / "out", corner_extractor())
    with pytest.raises(DataError, match="no images given"):
        extract_folder([], tmp_path / "out", corner_extractor())
    assert not (tmp_path / "out").exists()


def test_names_are_relative_to_the_folder_or_the_common_parent(tmp_path, photos):
    """One folder: relative to it. Files and several folders: relative to what they share. No duplicates."""
    assert [n for n, _ in name_images(photos)] == ["left/1.png", "left/2.png", "right/1.png"]
    assert [n for n, _ in name_images([photos / "left", photos / "right"])] == [
        "left/1.png",
        "left/2.png",
        "right/1.png",
    ]
    assert [n for n, _ in name_images(photos / "left/1.png")] == ["1.png"]
    assert [n for n, _ in name_images([photos / "left/1.png", photos / "left"])] == ["1.png", "2.png"]


def test_no_name_climbs_out_of_the_output(photos, monkeypatch):
    """Paths with ".." give the same names as the plain ones, and no duplicates."""
    monkeypatch.chdir(photos / "left")
    assert [n for n, _ in name_images(["1.png", "../right/1.png", "../left/1.png"])] == ["left/1.png", "right/1.png"]
    assert [n for n, _ in name_images("../right")] == ["1.png"]


def test_the_settings_of_a_file_lie_beside_it():
    """config.yaml in a folder, <file>.config.yaml beside a file."""
    assert settings_path(Path("out")) == Path("out/config.yaml")
    assert settings_path(Path("out/features.h5")) == Path("out/features.h5.config.yaml")
    assert settings_path(Path("out/v1.2")) == Path("out/v1.2/config.yaml")


def test_models_in_memory_are_told_apart(tmp_path, photos):
    """Results of one unnamed network are not taken for those of another one."""
    first, second = (Extractor(TraqPoint(), max_keypoints=20) for _ in range(2))
    extract_folder(photos / "right", tmp_path / "out", first)
    assert extract_folder(photos / "right", tmp_path / "out", first).skipped == ("1.png",)
    with pytest.raises(ConfigError, match="weights_sha256"):
        extract_folder(photos / "right", tmp_path / "out", second)


class Batching:
    """An extractor that notes how many images it is given at once."""

    def __init__(self, single, batch_pixels):
        self.single, self.config, self.batch_pixels, self.sizes = single, single.config, batch_pixels, []

    def __call__(self, image):
        self.sizes.append(1)
        return self.single(image)

    def batch(self, images):
        self.sizes.append(len(images))
        return [self.single(image) for image in images]


def test_images_of_equal_size_share_a_forward_pass(tmp_path, panorama, corner_extractor):
    """As many as the extractor's batch_pixels allow, though others or a bad one lie between them; all are in place."""
    for i, width in enumerate([100, 100, 100, 60, 60, 100, 100]):
        write_image(tmp_path / f"photos/{i}.png", panorama[:, 10 * i : 10 * i + width])
    (tmp_path / "photos/5.png").write_bytes(b"")
    batching = Batching(corner_extractor(), 2 * 100 * 120)
    together = extract_folder(tmp_path / "photos", tmp_path / "together", batching)
    assert batching.sizes == [2, 2, 2] and len(together.failed) == 1
    alone = extract_folder(tmp_path / "photos", tmp_path / "alone", corner_extractor())
    assert together.done == alone.done == tuple(f"{i}.png" for i in (0, 1, 2, 3, 4, 6))
    for name in together.done:
        a, b = (load_features(tmp_path / out / f"{name}.npz") for out in ("together", "alone"))
        assert torch.equal(a.keypoints, b.keypoints) and torch.equal(a.descriptors, b.descriptors)


def test_the_user_says_how_many_images_share_a_pass(tmp_path, photos, corner_extractor):
    batching = Batching(corner_extractor(), 0)
    extract_folder(photos, tmp_path / "out", batching, flow=FlowConfig(batch=2, workers=1))
    assert batching.sizes == [2, 1]
    with pytest.raises(ConfigError, match="batch"):
        FlowConfig(batch=0)
    with pytest.raises(ConfigError, match="workers"):
        FlowConfig(workers=0)


def test_a_group_holds_what_wastes_little_and_waits_for_few():
    """Upright and wide pictures in turn make two groups; slightly unlike ones make one; nothing waits for ever."""
    wide, upright, slim, tiny = (400, 300), (300, 400), (390, 300), (40, 30)
    grouped = lambda sizes, **limit: list(in_groups(sizes, lambda s: s, **{"pixels": 500_000, **limit}))  # noqa: E731
    assert grouped([wide, upright] * 4) == [[wide] * 4, [upright] * 4]
    assert grouped([wide, slim, wide]) == [[wide, slim, wide]]
    assert grouped([wide, upright] * 4, pixels=0) == [[wide], [upright]] * 4
    assert grouped([wide] * 3, pixels=10**9, count=2) == [[wide, wide], [wide]]
    odd = [(400, 300), (300, 400), (40, 30), (30, 40), (400, 300)]
    assert grouped(odd) == [[(400, 300)], [(300, 400)], [(40, 30)], [(30, 40)], [(400, 300)]]
    assert grouped([wide, (0, 0), wide]) == [[(0, 0)], [wide, wide]]
    for group in grouped([wide, slim, upright, tiny] * 9):
        padded = len(group) * max(w for w, _ in group) * max(h for _, h in group)
        assert padded <= 500_000 and sum(w * h for w, h in group) >= (1 - MAX_WASTE) * padded


def test_a_budget_of_memory_reads_one_image_at_a_time_and_is_no_other_configuration(tmp_path, photos, monkeypatch):
    """What it finds is the same, so a run may go on with another budget."""
    extractors = [Extractor("traqpoint-s", memory=memory, device="cpu") for memory in ("2GB", None)]
    ahead = []
    monkeypatch.setattr(
        pipeline, "read_ahead", lambda named, workers: ahead.append(workers) or read_ahead(named, workers)
    )
    assert len(extract_folder(photos / "left", tmp_path / "out", extractors[0]).done) == 2
    report = extract_folder(photos / "left", tmp_path / "out", extractors[1])
    assert len(report.skipped) == 2 and ahead == [0, 2]


class FullDisk:
    """A store whose disk is full after two images."""

    path = Path("somewhere")

    def __init__(self):
        self.kept = []

    def check_names(self, names):
        pass

    def __contains__(self, name):
        return False

    def write(self, name, features, image_path=None):
        if len(self.kept) == 2:
            raise OSError(28, "No space left on device")
        self.kept.append(name)


def test_a_full_disk_ends_the_run_in_one_line_and_what_is_finished_stays(photos, corner_extractor):
    store, seen = FullDisk(), []
    with pytest.raises(DataError, match=r"^somewhere: right/1\.png cannot be written \(No space left on device\)"):
        extract_into(store, photos, corner_extractor(), progress=lambda done, total: seen.append(done))
    assert store.kept == ["left/1.png", "left/2.png"] and max(seen) <= 2


def test_nothing_counts_as_done_before_it_is_written(photos, corner_extractor):
    """The network goes on while the disk is slow, and progress waits for the disk."""
    extractor, written, calls = corner_extractor(), threading.Event(), []

    class SlowDisk(FullDisk):
        def write(self, name, features, image_path=None):
            assert written.wait(10)
            self.kept.append(name)

    def progress(done, total):
        calls.append((done, extractor.calls))
        if extractor.calls == 3:
            written.set()

    assert extract_into(SlowDisk(), photos, extractor, progress=progress).done[0] == "left/1.png"
    assert calls[:2] == [(0, 1), (0, 2)] and calls[-1] == (3, 3)


def test_a_picture_too_large_to_decode_is_one_line(tmp_path, photos, corner_extractor):
    """A picture of a few bytes that claims to have 10^10 pixels."""
    claim = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", claim), (b"IDAT", zlib.compress(b"\0" * 99)), (b"IEND", b""))
    content = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    (photos / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    report = extract_folder(photos, tmp_path / "out", corner_extractor())
    assert len(report.done) == 3 and len(report.failed) == 1 and "bomb.png" in report.failed[0]
    assert "\n" not in report.failed[0]


def test_batches_of_the_network_equal_its_images_one_by_one(tmp_path, photos):
    """Keypoints to 1e-4 px; on a CPU the extractor asks for no batches, which would be slower there."""
    torch.manual_seed(0)
    extractor = Extractor(TraqPoint(), max_keypoints=50, prominence=0.0, device="cpu")
    assert extractor.batch_pixels == 0
    extract_folder(photos, tmp_path / "alone", extractor)
    extractor.batch_pixels = 10**6
    for name in extract_folder(photos, tmp_path / "together", extractor).done:
        a, b = (load_features(tmp_path / out / f"{name}.npz") for out in ("together", "alone"))
        assert len(a) > 10 and torch.allclose(a.keypoints, b.keypoints, atol=1e-4)
        assert torch.allclose(a.descriptors, b.descriptors, atol=1e-4)


def test_an_image_that_spoils_a_batch_is_the_only_one_to_fail(tmp_path, photos, corner_extractor):
    class Choosy(Batching):
        def __call__(self, image):
            if (image == image[0, 0]).all():
                raise ImageError("flat")
            return super().__call__(image)

        def batch(self, images):
            return [self(image) for image in images]

    write_image(photos / "left/flat.png", np.full((120, 100, 3), 9, dtype=np.uint8))
    report = extract_folder(photos, tmp_path / "out", Choosy(corner_extractor(), 10**6))
    assert len(report.done) == 3 and len(report.failed) == 1 and "flat.png" in report.failed[0]
