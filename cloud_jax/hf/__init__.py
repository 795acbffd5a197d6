"""Import of Hugging Face BERT checkpoints, without PyTorch or running a pickle."""
