"""Files are whole or absent; an output belongs to one configuration."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from traqpoint.errors import ConfigError, FormatError
from traqpoint.files import atomic, claim, locked, plain, read_settings, remove_partials, write_json, write_settings
from traqpoint.models import weights


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_appears_whole_below_folders_that_are_made(tmp_path, durable):
    path = tmp_path / "a" / "b" / "x.json"
    with atomic(path, durable) as partial:
        partial.write_text("new")
        assert not path.exists() and partial.parent == path.parent
        assert partial.suffix == ".json" and partial.name.startswith(".") and str(os.getpid()) in partial.name
    assert path.read_text() == "new" and names(path.parent) == {"x.json"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_whoever_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path, error):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(error), atomic(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == {"x.txt"}


def test_whoever_is_killed_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    code = (
        "import os, signal, sys; from traqpoint.files import atomic\n"
        "with atomic(sys.argv[1]) as partial:\n"
        "    partial.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode < 0
    assert path.read_text() == "old" and len(names(tmp_path)) == 2
    (tmp_path / ".x.1.partial.txt-wal").touch()
    (tmp_path / ".y.1.partial.txt").touch()
    remove_partials(path)
    assert names(tmp_path) == {"x.txt", ".y.1.partial.txt"}


def test_a_folder_appears_whole_too(tmp_path):
    with pytest.raises(ValueError), atomic(tmp_path / "out") as partial:
        (partial / "0").mkdir(parents=True)
        raise ValueError
    assert names(tmp_path) == set()
    with atomic(tmp_path / "out") as partial:
        (partial / "0").mkdir(parents=True)
    assert names(tmp_path) == {"out"} and names(tmp_path / "out") == {"0"}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_says_who_may_read_a_file_of_weights(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        weights.write(tmp_path / "w.safetensors", {"x": torch.zeros(2)}, {}, {})
    finally:
        os.umask(before)
    assert (tmp_path / "w.safetensors").stat().st_mode & 0o777 == mode


def test_json_is_written_whole_or_not_at_all(tmp_path):
    write_json(tmp_path / "x.json", {"a": [1, 2]})
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"a": float("nan")}, allow_nan=False)
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [1, 2]}


def test_an_output_belongs_to_the_configuration_that_claimed_it(tmp_path):
    settings = tmp_path / "out" / "config.yaml"
    claim(tmp_path / "out", settings, {"model": {"width": 3, "device": "cpu"}, "path": Path("a")})
    claim(tmp_path / "out", settings, {"model": {"width": 3, "device": "cuda"}, "path": Path("a")})
    with pytest.raises(ConfigError, match=r"out: holds .* another configuration \(model\.width: 3 there, 4 here\)"):
        claim(tmp_path / "out", settings, {"model": {"width": 4}, "path": Path("a")})
    assert read_settings(settings)["model"] == {"width": 3, "device": "cuda"}


def test_only_results_bind_where_they_can_be_looked_for(tmp_path):
    settings, cleared = tmp_path / "config.yaml", []
    claim(tmp_path, settings, {"n": 1}, found=False)
    claim(tmp_path, settings, {"n": 2}, found=False)
    with pytest.raises(ConfigError, match=r"n: 2 there, 3 here.*--overwrite"):
        claim(tmp_path, settings, {"n": 3}, found=True, overwrite=False)
    claim(tmp_path, settings, {"n": 3}, found=True, overwrite=True, clear=lambda: cleared.append(True))
    assert cleared and read_settings(settings)["n"] == 3


def test_results_without_settings_are_not_taken_over(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown configuration \(no config.yaml\).*delete them"):
        claim(tmp_path, tmp_path / "config.yaml", {}, found=True)
    assert not names(tmp_path)


def test_damaged_settings_are_named(tmp_path):
    path = tmp_path / "config.yaml"
    assert read_settings(path) is None
    for content in ("{", "[1]", "\udcff"):
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
        with pytest.raises(FormatError, match=r"config\.yaml"):
            read_settings(path)


def test_settings_come_back_as_plain_values(tmp_path):
    write_settings(tmp_path / "s.yaml", {"sizes": (1, 2), "rate": 1e-05, "path": Path("a"), "none": None})
    read = read_settings(tmp_path / "s.yaml")
    assert read.pop("version")
    assert read == plain({"sizes": (1, 2), "rate": 1e-05, "path": Path("a"), "none": None})
    assert read == {"sizes": [1, 2], "rate": 1e-05, "path": "a", "none": None}


WRITER = """
import sys
from traqpoint.files import locked
with locked(sys.argv[1]):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_two_processes_never_write_one_output(tmp_path, kind):
    out = tmp_path / "new" / ("a.h5" if kind == "file" else "a")
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, out], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(ConfigError, match=r"a(\.h5)?: another process is writing there"), locked(out):
            pass
        other.kill()
    with locked(out), pytest.raises(ConfigError), locked(out):
        pass
    assert list(out.parent.iterdir()) == []
