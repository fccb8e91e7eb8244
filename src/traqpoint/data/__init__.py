"""Layer 3: data sets. Each yields `SequenceBatch`, images with one ground truth behind `Geometry`."""
