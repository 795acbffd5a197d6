"""The scaling law: train a grid of models, fit L(N, D) to their losses."""
