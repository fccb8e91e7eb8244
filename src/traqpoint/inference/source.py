"""Where features come from: computed from an image, or looked up by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from traqpoint.inference.extractor import Image
from traqpoint.types import Features


@runtime_checkable
class FeatureSource(Protocol):
    """What knows its features by the name of an image, because they were computed elsewhere."""

    def features(self, name: str, image: Image) -> Features:
        """Raises FormatError or ImageError if there are none for this image."""
        ...


def by_name(extractor: Callable[..., Features] | FeatureSource) -> Callable[[str, Image], Features]:
    """(name, image) -> Features: a source's own, or of an extractor, which needs no name."""
    if isinstance(extractor, FeatureSource):
        return extractor.features
    return lambda name, image: extractor(image)
