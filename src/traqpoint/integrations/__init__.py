"""Layer 4: features and matches in other libraries' types, and our networks in their places. One file for each."""
