"""Engines and their options."""

import pytest

from traqpoint.cli.main import main
from traqpoint.distributed.config import EngineConfig
from traqpoint.errors import ConfigError


def test_impossible_settings_are_refused():
    for wrong in ({"engine": "dask"}, {"engine": "ray", "actors": 0}, {"shard": 0}):
        with pytest.raises(ConfigError, match=list(wrong)[-1]):
            EngineConfig(**wrong)


def test_options_that_do_not_go_with_shards_are_one_line(tmp_path, capsys):
    assert main(["extract", "a.jpg", "--out", str(tmp_path / "f"), "--engine", "ray", "--overwrite"]) == 1
    assert "--engine ray writes shards of its own" in capsys.readouterr().err
    assert main(["match", str(tmp_path), "--engine", "ray"]) == 1
    assert "--engine ray needs --out" in capsys.readouterr().err
