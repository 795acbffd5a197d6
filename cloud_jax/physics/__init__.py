"""Physical laws of the lattice as pure functions of arrays; needs only jax."""
