"""Hugging Face BERT checkpoints as ours, without PyTorch and without a pickle."""
