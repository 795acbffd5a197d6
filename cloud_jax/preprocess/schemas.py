"""Columns of the tables that pass between the stages of preprocessing."""

import pyarrow as pa

_POSITION = [("source", pa.int16()), ("piece", pa.int32()), ("number", pa.int32())]
CRYSTAL = [
    ("formula", pa.string()),
    ("space_group", pa.int16()),
    ("n_atoms", pa.int32()),
    ("volume_per_atom", pa.float64()),
    ("flags", pa.list_(pa.string())),
    ("paper", pa.string()),
    ("canonical", pa.string()),
]
_REASON = [("stage", pa.string()), ("code", pa.string()), ("message", pa.string())]

# A record; source, piece and number say where it stood, so any order can be restored.
RECORDS = pa.schema(
    [
        ("id", pa.string()),
        *_POSITION,
        *CRYSTAL,
        ("tokens", pa.list_(pa.uint16())),
        ("key_high", pa.uint64()),  # of the duplicate key
        ("key_low", pa.uint64()),
        ("group", pa.uint64()),  # of what the split keeps together
        ("order", pa.uint64()),  # of the id
    ]
)
REJECTS = pa.schema([("id", pa.string()), *_POSITION, *_REASON])
# Of a processed chunk: records and rejects, what does not apply is null.
RESULTS = pa.schema([*RECORDS, *(pa.field(*column) for column in _REASON)])
# A record that survived: the ids of those it stands for, and its side of the split.
KEPT = pa.schema(
    [
        *RECORDS,
        pa.field("merged_ids", pa.list_(pa.string())),
        pa.field("validation", pa.bool_()),
    ]
)
# For people, beside the shards.
TABLE = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        *CRYSTAL,
        ("split", pa.string()),
        ("n_tokens", pa.int32()),
        ("merged_ids", pa.list_(pa.string())),
    ]
)
