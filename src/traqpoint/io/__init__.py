"""Layer 2: files and databases. Each format's pixel convention is converted at its own door, here."""
