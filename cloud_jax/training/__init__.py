"""Everything that changes parameters: masking, losses, steps, the loop, checkpoints.

`run.py` is one run from beginning to end. The steps are pure functions of one
train-state pytree; while they run, `loop.py` alone touches files and clocks. They are
compiled in one place, `steps.py`, by `jax.jit` with the shardings of their arguments
and results, which is what `pjit` became. What a user can correct is a `ValueError` or
an `OSError`; `errors.py` holds the other ways in which a run ends early.
"""
