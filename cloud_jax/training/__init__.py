"""Everything that changes parameters: masking, losses, steps, the loop, checkpoints.

The steps are pure functions of one train-state pytree; `loop.py` is the only place
that touches files and clocks while they run.
"""
