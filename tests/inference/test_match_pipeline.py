"""Matching of extracted features in every format."""

from contextlib import closing
from pathlib import Path

import pytest
import torch

from traqpoint.errors import ConfigError, DataError, FormatError
from traqpoint.image import write_image
from traqpoint.inference.pairs import exhaustive_pairs, sequential_pairs
from traqpoint.inference.pipeline import extract_folder, match_pairs
from traqpoint.io.npz import load_features
from traqpoint.io.stores import FORMATS, open_matches
from traqpoint.matching.config import DualSoftmaxConfig, MatcherConfig, MutualConfig
from traqpoint.matching.mutual import match


@pytest.fixture
def features(tmp_path, panning_frames, corner_extractor):
    """A function that extracts four frames a/0.png, a/1.png, b/2.png, b/3.png in the given format."""
    for i in range(4):
        write_image(tmp_path / "photos" / "ab"[i // 2] / f"{i}.png", panning_frames[i])

    def extract(format: str) -> Path:
        return extract_folder(tmp_path / "photos", tmp_path / "f", corner_extractor(), format).out

    return extract


def read(out: Path, a: str, b: str):
    with closing(open_matches(out)) as matches:
        return matches.read(a, b)


@pytest.mark.parametrize("format", FORMATS)
def test_all_pairs_hold_the_matches_of_match(tmp_path, features, format):
    """Every stored pair equals match() on the features; the second run does nothing."""
    source = features(format)
    report = match_pairs(source, exhaustive_pairs, device="cpu")
    assert len(report.done) == 6 and not report.failed
    images = {name: load_features(features("npz") / f"{name}.png.npz") for name in ("a/0", "b/2")}
    stored = read(report.out, "a/0.png", "b/2.png")
    assert torch.equal(read(report.out, "b/2.png", "a/0.png").indices, stored.indices.flip(1))
    assert torch.equal(stored.indices, match(images["a/0"], images["b/2"]).indices) and len(stored) > 20
    again = match_pairs(source, exhaustive_pairs, device="cpu")
    assert len(again.skipped) == 6 and not again.done


@pytest.mark.parametrize("format", FORMATS)
def test_more_pairs_are_added_and_other_settings_refused(features, format):
    """Another choice of pairs goes on from what is there; another matcher does not, except to replace all."""
    source = features(format)
    match_pairs(source, lambda names: sequential_pairs(names, 1), device="cpu")
    report = match_pairs(source, exhaustive_pairs, device="cpu")
    assert len(report.skipped) == 3 and len(report.done) == 3
    strict = MatcherConfig(mutual=MutualConfig(min_similarity=0.999))
    with pytest.raises(ConfigError, match=r"matcher\.min_similarity: None there, 0\.999 here"):
        match_pairs(source, exhaustive_pairs, matcher=strict, device="cpu")
    out = match_pairs(source, lambda names: [(names[0], names[3])], matcher=strict, device="cpu", overwrite=True).out
    read(out, "a/0.png", "b/3.png")
    with pytest.raises(FormatError):
        read(out, "a/0.png", "a/1.png")


@pytest.mark.parametrize("format", FORMATS)
def test_pairs_are_named_as_images_and_each_is_matched_once(features, format):
    report = match_pairs(features(format), [("a/0.png", "b/2.png"), ("b/2.png", "a/0.png")], device="cpu")
    assert report.done == ("a/0.png b/2.png",)


def test_ctrl_c_keeps_finished_pairs(features):
    """Interrupted after two pairs, those are skipped by the next run."""
    source = features("hloc")

    def interrupt(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        match_pairs(source, exhaustive_pairs, device="cpu", progress=interrupt)
    report = match_pairs(source, exhaustive_pairs, device="cpu")
    assert len(report.skipped) == 2 and len(report.done) == 4


def test_damaged_features_are_reported_once_and_the_rest_goes_on(features):
    """One line for the bad file, whatever the number of its pairs."""
    source = features("npz")
    (source / "a/1.png.npz").write_bytes(b"PK")
    report = match_pairs(source, exhaustive_pairs, device="cpu")
    assert len(report.done) == 3 and len(report.failed) == 1 and "1.png.npz" in report.failed[0]


def test_what_is_not_there_is_named(tmp_path, features):
    """Missing features, a folder without any, unknown images, and outputs in the wrong place."""
    with pytest.raises(FormatError, match="nowhere"):
        match_pairs(tmp_path / "nowhere", exhaustive_pairs)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no features"):
        match_pairs(tmp_path / "empty", exhaustive_pairs)
    (tmp_path / "text.txt").write_text("a b")
    with pytest.raises(FormatError, match=r"text\.txt"):
        match_pairs(tmp_path / "text.txt", exhaustive_pairs)
    source = features("npz")
    with pytest.raises(DataError, match="no features of 'zz'"):
        match_pairs(source, [("a/0.png", "zz")])
    with pytest.raises(ConfigError, match="choose another output"):
        match_pairs(source, exhaustive_pairs, out=source)
    with pytest.raises(ConfigError, match="COLMAP"):
        match_pairs(features("colmap"), exhaustive_pairs, out=tmp_path / "elsewhere.db")


def test_names_that_look_alike_in_a_match_file_are_refused(tmp_path, panorama, corner_extractor):
    """hloc writes a/b and a-b as one name: better no file than a mixed one."""
    for name in ("a/b.png", "a-b.png"):
        write_image(tmp_path / "photos" / name, panorama)
    source = extract_folder(tmp_path / "photos", tmp_path / "f.h5", corner_extractor()).out
    with pytest.raises(DataError, match="cannot be told apart"):
        match_pairs(source, exhaustive_pairs)


def test_a_run_without_a_single_match_is_told(features):
    impossible = MatcherConfig("dual-softmax", dual_softmax=DualSoftmaxConfig(0.001, min_probability=0.9))
    with pytest.warns(UserWarning, match="not one match in 6 pairs"):
        match_pairs(features("npz"), exhaustive_pairs, matcher=impossible, device="cpu")
