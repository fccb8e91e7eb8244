"""The losses of a configuration, with their parameters."""

from __future__ import annotations

from functools import lru_cache

from traqpoint.errors import ConfigError
from traqpoint.policy.build import check_owners, parameters
from traqpoint.training.config import DescriptorConfig
from traqpoint.training.losses.loss import LOSSES, Loss


@lru_cache(maxsize=16)
def build_losses(config: DescriptorConfig) -> tuple[tuple[str, Loss, float], ...]:
    """Name, loss and weight of each. Raises ConfigError for one that cannot be built, and for an option of none."""
    check_owners(dict(config.losses), config.options, "descriptor", "loss")
    return tuple((name.rpartition(":")[2], _build(name, config), weight) for name, weight in config.losses)


def _build(name: str, config: DescriptorConfig) -> Loss:
    kind = LOSSES[name]
    if not (isinstance(kind, type) and issubclass(kind, Loss)):
        raise ConfigError(f"{name} is no loss: subclass traqpoint.training.losses.loss.Loss")
    own = {"inverse_temperature": config.inverse_temperature, "exclusion_px": config.exclusion_px}
    try:
        return kind(**(own if name == "contrast" else parameters(name, kind, config.options)))
    except TypeError as error:  # a parameter without a default, or an abstract class
        raise ConfigError(f"{name}: {error}; set it in descriptor.options") from None
