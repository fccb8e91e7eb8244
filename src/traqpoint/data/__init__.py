"""Layer 3: data sets. Each yields `Sequence`, images with one ground truth behind `Geometry`."""
