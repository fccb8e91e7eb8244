"""Nested configurations as options: the command line over the file over the preset, however deep."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest

from traqpoint.cli.options import UsageError, parse
from traqpoint.errors import ConfigError


@dataclass(frozen=True)
class Leaf:
    """The third level."""

    side: int = 3
    """A number."""
    sigma: float = 0.5
    """Another."""


@dataclass(frozen=True)
class Branch:
    """The second level."""

    leaf: Leaf = field(default_factory=Leaf)
    """Deeper."""
    other: Leaf = field(default_factory=Leaf)
    """Deeper, too."""
    names: tuple[tuple[str, float], ...] = (("a", 1.0),)
    """Pairs."""
    limit: float | None = None
    """Perhaps a number."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 0:
            raise ConfigError(f"limit must not be negative, got {self.limit}")


@dataclass(frozen=True)
class Twig:
    """What may stand in a branch's place."""

    length: float
    """Must be given."""


@dataclass(frozen=True)
class Tree:
    """The first level."""

    branch: Branch = field(default_factory=Branch)
    """Deep."""
    count: int = 1
    """A number."""


PRESET = Tree(Branch(Leaf(30, 5.0), Leaf(31, 5.1), (("b", 2.0),), 7.0), 10)


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A verb."""

    PRESETS: ClassVar[dict] = {"preset": {"tree": PRESET}}

    tree: Tree = field(default_factory=lambda: Tree(Branch(Leaf(side=4)), count=2))
    """A verb's own defaults are not the class's."""


@dataclass(frozen=True, kw_only=True)
class Grafted:
    """A verb with a choice of configurations."""

    part: Branch | Twig | None = None
    """One, the other, or nothing."""


def parsed(tmp_path, text, *args):
    (tmp_path / "options.yaml").write_text(text)
    return parse(Verb, [*args, "--config", str(tmp_path / "options.yaml")], "prog").tree


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tree: {count: 3}", replace(PRESET, count=3)),
        ("tree: {branch: {limit: null}}", replace(PRESET, branch=replace(PRESET.branch, limit=None))),
        ("tree: {branch: {names: {c: 3}}}", replace(PRESET, branch=replace(PRESET.branch, names=(("c", 3.0),)))),
        (
            "tree: {branch: {leaf: {side: 9}}}",
            replace(PRESET, branch=replace(PRESET.branch, leaf=Leaf(9, 5.0))),
        ),
    ],
)
def test_a_file_changes_one_value_at_any_depth_and_leaves_the_presets_others(tmp_path, text, expected):
    assert parsed(tmp_path, text, "--preset", "preset") == expected


def test_the_command_line_overrides_the_file_and_the_file_the_preset_at_every_depth(tmp_path):
    text = "tree: {branch: {leaf: {side: 9}, other: {side: 8, sigma: 0.8}}}"
    tree = parsed(tmp_path, text, "--preset", "preset", "--tree.branch.other.side", "1", "--tree.count", "6")
    assert tree == replace(PRESET, branch=replace(PRESET.branch, leaf=Leaf(9, 5.0), other=Leaf(1, 0.8)), count=6)


def test_the_command_line_alone_overrides_one_value_of_the_preset():
    tree = parse(Verb, ["--preset", "preset", "--tree.branch.leaf.sigma", "0.1"], "prog").tree
    assert tree == replace(PRESET, branch=replace(PRESET.branch, leaf=Leaf(30, 0.1)))


def test_without_a_preset_the_verbs_own_defaults_lie_below_the_file(tmp_path):
    assert parsed(tmp_path, "tree: {branch: {leaf: {sigma: 2}}}") == Tree(Branch(Leaf(4, 2.0)), 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tree: {branch: {leaf: {sied: 1}}}", "unknown key 'tree.branch.leaf.sied'; known are side, sigma"),
        ("tree: {branch: {leaf: {side: wide}}}", "tree.branch.leaf.side: 'wide' is not int"),
        ("tree: {branch: {leaf: 3}}", "tree.branch.leaf: 3 is not Leaf"),
        ("tree: {branch: {limit: -1}}", "limit must not be negative, got -1.0"),
        ("PRESETS: {}", "unknown key 'PRESETS'; known are tree"),
    ],
)
def test_what_is_wrong_deep_in_a_file_is_named_by_its_whole_path(tmp_path, text, message):
    with pytest.raises(ConfigError, match=r"options\.yaml: ") as caught:
        parsed(tmp_path, text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("part: null", None),
        ("part: {limit: 2}", Branch(limit=2.0)),
        ("part: {leaf: {side: 2}}", Branch(Leaf(2))),
        ("part: {length: 2}", Twig(2.0)),
    ],
)
def test_a_file_chooses_one_configuration_of_several_by_its_keys(tmp_path, text, expected):
    (tmp_path / "options.yaml").write_text(text)
    assert parse(Grafted, ["--config", str(tmp_path / "options.yaml")], "prog").part == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("part: {lenght: 2}", "unknown key 'part.lenght'"),
        ("part: 3", "part: 3 is not"),
        ("part: {limit: -1}", "limit must not be negative"),
    ],
)
def test_a_configuration_that_none_of_several_takes_is_named(tmp_path, text, message):
    (tmp_path / "options.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        parse(Grafted, ["--config", str(tmp_path / "options.yaml")], "prog")
    assert message in str(caught.value)


def test_an_unknown_preset_is_refused():
    with pytest.raises(UsageError, match="no preset 'presto'; there are preset"):
        parse(Verb, ["--preset", "presto"], "prog")
