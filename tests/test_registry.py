"""Names that stand for code, the package's and a user's."""

import sys

import pytest

from traqpoint.errors import ConfigError
from traqpoint.registry import Registry, is_outside


def shapes():
    return Registry("shape", {"square": 4, "path": "os:sep"})


def test_a_known_name_is_looked_up_and_a_string_is_imported():
    import os

    assert shapes()["square"] == 4
    assert shapes()["path"] == os.sep
    assert list(shapes()) == ["square", "path"]


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        ConfigError, match=r"unknown shape 'circle'; known are square, path, and your own as module:name"
    ):
        shapes()["circle"]


@pytest.mark.parametrize("name", ["my_shape:build", "./my_shape.py:build"])
def test_a_user_s_name_comes_from_the_working_folder(name, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "my_shape", raising=False)
    (tmp_path / "my_shape.py").write_text("def build():\n    return 'mine'\n")
    monkeypatch.chdir(tmp_path)
    assert name in shapes()
    assert shapes()[name]() == "mine"


def test_a_module_of_the_working_folder_does_not_hide_an_installed_one(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("dumps = None\n")
    monkeypatch.chdir(tmp_path)
    assert shapes()["json:dumps"] is not None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:build", "no_such_module: cannot be imported"),
        ("json:no_such_name", "json has no 'no_such_name'"),
        ("missing.py:build", "no such Python file"),
        ("broken.py:build", "broken.py: cannot be imported .*ZeroDivisionError"),
    ],
)
def test_what_is_wrong_with_a_user_s_code_is_said(name, message, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        shapes()[name]


def test_a_name_cannot_be_taken_twice():
    registry = shapes()
    registry.register("circle", 0)
    assert registry["circle"] == 0
    with pytest.raises(ConfigError, match="'circle' is known already"):
        registry.register("circle", 1)


@pytest.mark.parametrize("name", ["SIFT", "features:a/b.h5", "kornia:", ":x", "a b:c"])
def test_other_names_are_not_outside_ones(name):
    assert not is_outside(name)
