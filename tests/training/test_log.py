"""What a run says of itself."""

import csv
import errno
import json
import os

import numpy as np
import pytest

from traqpoint.errors import DataError
from traqpoint.image import read_image
from traqpoint.training.log import RunLog


def table(out):
    with (out / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_every_line_and_columns_that_came_later(tmp_path):
    with RunLog(tmp_path) as log:
        log.write(1, {"loss": 2.0})
        log.write(2, {"loss": 1.5, "val_score": 0.5})
        log.write(3, {"loss": 1.0})
        assert table(tmp_path) == [
            {"step": "1", "loss": "2.0", "val_score": ""},
            {"step": "2", "loss": "1.5", "val_score": "0.5"},
            {"step": "3", "loss": "1.0", "val_score": ""},
        ]


def test_a_continued_run_drops_what_came_after_its_checkpoint(tmp_path):
    with RunLog(tmp_path) as log:
        for step in (1, 2, 3):
            log.write(step, {"loss": float(step)})
    with RunLog(tmp_path, start=1) as log:
        log.write(2, {"loss": 9.0})
    assert [json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").open()] == [1.0, 9.0]
    assert [row["loss"] for row in table(tmp_path)] == ["1.0", "9.0"]


def test_pictures_are_files_by_step(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (8, 12, 3), dtype=np.uint8)
    with RunLog(tmp_path) as log:
        log.picture(7, image)
    assert (read_image(tmp_path / "pictures" / "00000007.png") == image).all()


def test_a_full_disk_is_one_line_that_names_the_folder(tmp_path, monkeypatch):
    class Full:
        def write(self, text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self):
            pass

    with RunLog(tmp_path) as log:
        monkeypatch.setattr(log, "_lines", Full())
        with pytest.raises(DataError, match=r"the log cannot be written \(No space left on device\)") as raised:
            log.write(1, {"loss": 1.0})
    assert str(tmp_path) in str(raised.value)
