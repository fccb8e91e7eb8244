"""Fixtures of several evaluation tests."""

from exact_scene import exact_scene

__all__ = ["exact_scene"]
