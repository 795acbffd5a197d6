"""Pages of the documentation site that code, notebooks and other files make."""
