"""Layer 5: pure steps, and the loop that owns time."""
