"""Frozen networks that describe points of a photograph, for a student to learn from (docs/training.md)."""
