"""Layer 4: pictures and videos of what was found."""
