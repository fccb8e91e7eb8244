"""Layer 6: pure steps, and the loop that owns time."""
