"""The scaling law: a grid of models and its fit."""
