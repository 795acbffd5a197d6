"""MatBench Discovery: which crystals a model rightly calls stable."""
