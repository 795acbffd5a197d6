"""Public data by name: found in a folder, or downloaded with its hash checked."""
