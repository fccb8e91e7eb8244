import pytest

from traqpoint.errors import ConfigError
from traqpoint.evaluation.methods.method import build_method


def test_our_weights_are_judged_in_the_precision_that_is_asked_for():
    assert build_method("traqpoint-s", precision="bf16", device="cpu").config.precision == "bf16"
    assert build_method("SIFT", precision="bf16").config.name == "SIFT"
    with pytest.raises(ConfigError, match="precision of torch must be float32 or bf16"):
        build_method("traqpoint-s", precision="int8", device="cpu")
