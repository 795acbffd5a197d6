"""One fine-tuning run: what `python -m cloud_jax.finetune` wires together."""
