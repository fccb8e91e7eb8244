"""What decides which weights are best, inside of a run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from random_inputs import smooth_picture, write_pictures
from research_data import DATA

from traqpoint.data.config import DataConfig, HomographyConfig
from traqpoint.errors import DataError
from traqpoint.inference.extractor import Extractor
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.training import validation
from traqpoint.training.config import (
    DescriptorConfig,
    DescriptorTraining,
    LoopConfig,
    PolicyTraining,
    ValidationConfig,
)
from traqpoint.training.runs import train_descriptor, train_policy
from traqpoint.training.validation import Validation, at_keypoints_of, whole


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("photos"), (smooth_picture(128, 128, i) for i in range(3)))


@pytest.fixture(autouse=True)
def small_frames(monkeypatch):
    monkeypatch.setattr(
        "traqpoint.evaluation.benchmarks.track_sets.HOMOGRAPHIES", {"image_size": 96, "zoom": (1.2, 1.6)}
    )


def config(photos, **options):
    return ValidationConfig(photos=photos, limit=2, max_keypoints=64, difficulty=0.3, every=2, **options)


LOOP = LoopConfig(steps=4, batch_size=1, device="cpu", precision="float32", pictures_every=2)


def data(photos):
    return DataConfig(photos, homography=HomographyConfig(image_size=64, num_frames=2))


def rows(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_trained_model_scores_higher_than_a_random_one(photos):
    judge = Validation(config(photos), whole("cpu"))
    torch.manual_seed(0)
    trained, random = judge(TraqPoint.from_pretrained("traqpoint-s")), judge(TraqPoint())
    assert trained["val_score"] == trained["val_completeness"] > random["val_score"] + 0.1


def test_stage_one_describes_the_keypoints_of_other_weights_found_once(photos, monkeypatch):
    found = []

    class Counted(Extractor):
        def __call__(self, image):
            found.append(image)
            return super().__call__(image)

    monkeypatch.setattr(validation, "Extractor", Counted)
    judge = Validation(config(photos), at_keypoints_of("traqpoint-s", 64, "cpu"))
    model = TraqPoint.from_pretrained("traqpoint-s")
    torch.manual_seed(0)
    model.detector = TraqPoint(model.config).detector  # what it would find itself does not matter
    first = judge(model)
    looked = len(found)
    assert looked == 10 and judge(model) == first and len(found) == looked
    assert first["val_completeness"] > 0.3


@pytest.mark.slow
def test_both_stages_keep_what_validates_best_and_draw_what_they_see(photos, tmp_path, monkeypatch):
    scores = iter([0.2, 0.1, 0.4, 0.5])
    monkeypatch.setattr(validation.Validation, "__call__", lambda self, model: {"val_score": next(scores)})
    small = DescriptorConfig(points_per_frame=32)
    one = DescriptorTraining(data(photos), tmp_path / "d", LOOP, small, validation=config(photos))
    train_descriptor(one)
    assert [row.get("val_score") for row in rows(tmp_path / "d")] == [None, 0.2, None, 0.1]
    best, last = (
        TraqPoint.from_pretrained(tmp_path / "d" / f"{name}.safetensors").descriptor.state_dict()
        for name in ("best", "descriptor")
    )
    assert any(not torch.equal(value, last[name]) for name, value in best.items())  # that of step 2
    two = PolicyTraining(data(photos), str(tmp_path / "d" / "best.safetensors"), tmp_path / "p", LOOP)
    path = train_policy(replace(two, validation=config(photos)))
    best, last = (TraqPoint.from_pretrained(file) for file in (tmp_path / "p" / "best.safetensors", path))
    assert all(torch.equal(value, last.state_dict()[name]) for name, value in best.state_dict().items())
    for out in ("d", "p"):
        pictures = [path.name for path in sorted((tmp_path / out / "pictures").iterdir())]
        assert pictures == ["00000002.png", "00000004.png"]


@pytest.mark.slow
def test_validating_changes_no_number_of_the_training(photos, tmp_path):
    small = DescriptorConfig(points_per_frame=32)
    plain = DescriptorTraining(data(photos), tmp_path / "a", replace(LOOP, pictures_every=0), small)
    paths = [
        train_descriptor(run)
        for run in (plain, replace(plain, out=tmp_path / "b", validation=config(photos), loop=LOOP))
    ]
    a, b = (TraqPoint.from_pretrained(path).descriptor.state_dict() for path in paths)
    assert all(torch.equal(value, b[name]) for name, value in a.items())


def test_a_wrong_folder_is_told_before_the_run_has_a_folder(photos, tmp_path):
    nothing = config(tmp_path / "nothing")
    run = DescriptorTraining(data(photos), tmp_path / "run", LOOP, validation=nothing)
    with pytest.raises(DataError, match="nothing"):
        train_descriptor(run)
    with pytest.raises(DataError, match="no-scene"):
        train_descriptor(replace(run, validation=ValidationConfig(scenes=(Path("no-scene"),))))
    assert not (tmp_path / "run").exists()


def test_poses_are_judged_in_scenes():
    scene = DATA / "posed" / "strecha" / "entry-P10"
    if not scene.is_dir():
        pytest.skip(f"{scene} is not there")
    judge = Validation(ValidationConfig(scenes=(scene,), max_pairs=2, long_side=320, max_keypoints=512), whole("cpu"))
    numbers = judge(TraqPoint.from_pretrained("traqpoint-s"))
    assert numbers["val_score"] == numbers["val_auc_5"] > 0.2
