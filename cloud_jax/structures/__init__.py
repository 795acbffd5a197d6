"""Reading crystals: files, tables, archives and texts to `Cell`s, or a typed reject."""
