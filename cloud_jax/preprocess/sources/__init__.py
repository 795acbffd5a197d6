"""Where raw crystals come from: one file per source, one interface (`source.py`)."""
