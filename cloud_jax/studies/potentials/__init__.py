"""Heat capacities beside those of universal potentials, on their own benchmark."""
