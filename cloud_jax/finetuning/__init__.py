"""Fine-tuning on a labelled table: rows, folds, members, outputs, search."""
