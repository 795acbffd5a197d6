"""Fine-tuning on a labelled table.

`job` makes the parts of a run: the `table` (its `rows`, their `crystals`), the `start`
(vocabulary and encoder), `targets` and `folds`. `run` trains `groups` of members in the
`loop`, by `steps`. `results` has the numbers, `outputs` the files, `calibration` the
widths of intervals. `search` tries settings from a `space`.
"""
