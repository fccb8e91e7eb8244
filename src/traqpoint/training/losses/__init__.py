"""What a descriptor is trained by: one idea per file (docs/training.md)."""
