"""Fixtures of several tests of structure from motion."""

from exact_scene import exact_scene

__all__ = ["exact_scene"]
