"""The one configuration that chooses the matcher."""

import pytest
import torch
import torch.nn.functional as F

from traqpoint.errors import ConfigError, WeightsError
from traqpoint.matching.config import MATCHERS, DualSoftmaxConfig, LightGlueConfig, MatcherConfig, MutualConfig
from traqpoint.matching.dual_softmax import match_dual_softmax
from traqpoint.matching.mutual import match
from traqpoint.matching.run import build_matcher
from traqpoint.types import Features

OWN = """
from traqpoint.types import Matches
import torch
def build(config):
    def same_row(a, b):
        n = min(len(a), len(b))
        return Matches(torch.arange(n)[:, None].expand(n, 2), torch.ones(n))
    return same_row
nothing = lambda config: None
"""


def features(n: int, seed: int) -> Features:
    descriptors = F.normalize(torch.randn(n, 8, generator=torch.Generator().manual_seed(seed)), dim=-1)
    return Features(torch.zeros(n, 2), torch.zeros(n), descriptors, (10, 10))


def test_the_configuration_names_the_matcher():
    """Each method runs with its own settings; values out of range raise."""
    a, b = features(40, 0), features(33, 1)
    dual = build_matcher(MatcherConfig("dual-softmax", dual_softmax=DualSoftmaxConfig(10.0, 0.05)))(a, b)
    assert torch.equal(dual.indices, match_dual_softmax(a, b, 10.0, 0.05).indices)
    mutual = build_matcher(MatcherConfig(mutual=MutualConfig(0.9, 0.3)))(a, b)
    assert torch.equal(mutual.indices, match(a, b, max_ratio=0.9, min_similarity=0.3).indices)
    assert torch.equal(build_matcher()(a, b).indices, match(a, b).indices)
    for kind, bad in (
        (MutualConfig, {"max_ratio": 0.0}),
        (MutualConfig, {"min_similarity": 2.0}),
        (DualSoftmaxConfig, {"inverse_temperature": 0.0}),
        (DualSoftmaxConfig, {"min_probability": 2.0}),
        (LightGlueConfig, {"min_score": 2.0}),
    ):
        with pytest.raises(ConfigError, match=next(iter(bad))):
            kind(**bad)


def test_unknown_matchers_are_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown matcher 'magic'; known are mutual, dual-softmax, lightglue"):
        MatcherConfig("magic")


def test_a_matcher_from_outside_is_a_function_in_a_file(tmp_path):
    """path/to/file.py:name makes a matcher of the configuration; what cannot be called is refused."""
    (tmp_path / "own.py").write_text(OWN)
    own = MatcherConfig(f"{tmp_path / 'own.py'}:build")
    assert build_matcher(own)(features(3, 0), features(5, 1)).indices.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert own.described() == {"method": own.method}
    with pytest.raises(ConfigError, match="cannot be called"):
        build_matcher(MatcherConfig(f"{tmp_path / 'own.py'}:nothing"))


def test_a_result_names_only_the_settings_that_its_matcher_looks_at(tmp_path):
    """Of weights it keeps the file's name and hash: the folder says nothing, and a file may change."""
    assert MatcherConfig().described() == {"method": "mutual", "max_ratio": None, "min_similarity": None}
    assert set(MatcherConfig("dual-softmax").described()) == {"method", "inverse_temperature", "min_probability"}
    described = []
    for folder, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        path = tmp_path / folder / "glue.pth"
        path.parent.mkdir()
        path.write_bytes(content)
        described.append(MatcherConfig("lightglue", lightglue=LightGlueConfig(path)).described())
    assert described[0] == described[1] and described[0] != described[2]
    assert described[0]["weights"] == "glue.pth"


def test_lightglue_never_runs_without_weights(tmp_path):
    """No weights is a ConfigError that names the option, missing ones a WeightsError that names the file."""
    with pytest.raises(ConfigError, match=r"--matcher\.lightglue\.weights"):
        build_matcher(MatcherConfig("lightglue"))
    with pytest.raises(WeightsError, match=r"none\.pth"):
        build_matcher(MatcherConfig("lightglue", lightglue=LightGlueConfig(tmp_path / "none.pth")))
    assert set(MATCHERS) >= {"mutual", "dual-softmax", "lightglue"}
