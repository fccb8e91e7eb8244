"""Layer 4: the path of a calibrated camera from matches."""
