"""Layer 4: pure steps, and the loop that owns time."""
