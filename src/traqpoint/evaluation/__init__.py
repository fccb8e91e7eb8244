"""Layer 4: metrics against known geometry, and other methods behind one interface."""
