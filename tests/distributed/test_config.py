"""Engines and their options."""

import numpy as np
import pytest

from traqpoint.cli.main import main
from traqpoint.distributed.config import EngineConfig
from traqpoint.errors import ConfigError
from traqpoint.image import write_image


def test_impossible_settings_are_refused():
    for wrong in ({"engine": "dask"}, {"engine": "ray", "actors": 0}, {"shard": 0}):
        with pytest.raises(ConfigError, match=list(wrong)[-1]):
            EngineConfig(**wrong)


def test_options_that_do_not_go_with_shards_are_one_line(tmp_path, capsys):
    assert main(["extract", "a.jpg", "--out", str(tmp_path / "f"), "--engine", "ray", "--overwrite"]) == 1
    assert "--engine ray writes shards of its own" in capsys.readouterr().err
    assert main(["match", str(tmp_path), "--engine", "ray"]) == 1
    assert "--engine ray needs --out" in capsys.readouterr().err


def test_nobody_at_the_address_is_one_line(tmp_path, capsys):
    write_image(tmp_path / "photos" / "a.png", np.zeros((32, 32, 3), np.uint8))
    command = ["extract", str(tmp_path / "photos"), "--out", str(tmp_path / "f"), "--device", "cpu", "--engine", "ray"]
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1"):
        assert main([*command, "--address", address]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"traqpoint: error: {address}: no Ray cluster answers there") and error.count("\n") == 1
