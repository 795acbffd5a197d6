"""Columns of the tables of the crystals that are kept."""

import pyarrow as pa

from cloud_jax.scope.schemas import CRYSTAL, RECORDS

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
