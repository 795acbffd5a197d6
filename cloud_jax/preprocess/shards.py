"""TFRecord shards and the metadata that TensorFlow Datasets reads.

Nothing here loads TensorFlow, yet `tfds.builder_from_directory` opens what is written.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cloud_jax.files import file_sha256
from cloud_jax.preprocess.schemas import TABLE
from cloud_jax.preprocess.statistics import Counts, count_kept
from cloud_jax.tfrecord import example_class, write_records

DATASET = "cloud_scope"
_ORDER = ("order", "id", "source", "piece", "number")
TABLES = "records.parquet"  # a folder; pandas and pyarrow open it as one table


class Shard(NamedTuple):
    """One written shard, a TFRecord file and the table of its records.

    Attributes:
        split: that it belongs to.
        file: name of the TFRecord file.
        sha256: of its bytes.
        bytes: its size.
        n_records: in it.
        table: path of the table of the same records, in the same order.
        counts: see `statistics`.
    """

    split: str
    file: str
    sha256: str
    bytes: int
    n_records: int
    table: str
    counts: Counts


def write_shard(
    directory: Path,
    split: str,
    index: int,
    n_shards: int,
    kept: pa.Table,
    sources: Sequence[str],
) -> Shard:
    """Write one shard, its records in the order of the hash of their ids.

    Args:
        directory: an existing folder with a folder `records.parquet`.
        split: `train` or `validation`.
        index: of the shard.
        n_shards: of the split.
        kept: its records, of schema `KEPT`, in any order.
        sources: names of all sources.

    Raises:
        OSError: a file cannot be written, for instance on a full disk.
    """
    keys = [(name, "ascending") for name in _ORDER]
    kept = kept.take(pc.sort_indices(kept, sort_keys=keys)).combine_chunks()
    number = f"{index:05d}-of-{n_shards:05d}"
    path = directory / f"{DATASET}-{split}.tfrecord-{number}"
    write_records(path, _examples(kept))
    table = f"{TABLES}/{split}-{number}.parquet"
    _write_table(directory / table, split, kept, sources)
    return Shard(
        split,
        path.name,
        file_sha256(path),
        path.stat().st_size,
        len(kept),
        table,
        count_kept(kept, split),
    )


def _examples(kept: pa.Table) -> Iterator[bytes]:
    """Yield the serialised `tf.train.Example` of each record: `id` and `tokens`."""
    tokens = kept["tokens"].combine_chunks()
    values, offsets = tokens.values.to_numpy().tolist(), tokens.offsets.to_pylist()
    example = example_class()()
    name = example.features.feature["id"].bytes_list.value
    numbers = example.features.feature["tokens"].int64_list.value
    for i, identifier in enumerate(kept["id"].to_pylist()):
        name[:] = [identifier.encode()]
        numbers[:] = values[offsets[i] : offsets[i + 1]]
        yield example.SerializeToString(deterministic=True)


def _write_table(
    path: Path, split: str, kept: pa.Table, sources: Sequence[str]
) -> None:
    columns = {name: kept[name] for name in TABLE.names if name in kept.column_names}
    columns["source"] = pa.array(sources).take(kept["source"].combine_chunks())
    columns["split"] = pa.array([split] * len(kept))
    columns["n_tokens"] = pc.list_value_length(kept["tokens"])
    pq.write_table(pa.table([columns[name] for name in TABLE.names], TABLE), path)


def write_metadata(directory: Path, shards: Sequence[Shard]) -> None:
    """Write `dataset_info.json` and `features.json` beside the shards."""
    import tensorflow_datasets as tfds  # its import takes as long as a small dataset

    splits = {shard.split: [] for shard in shards}
    for shard in shards:
        splits[shard.split].append(shard)
    template = tfds.core.ShardedFileTemplate(
        data_dir=directory, dataset_name=DATASET, filetype_suffix="tfrecord"
    )
    tfds.folder_dataset.write_metadata(
        data_dir=directory,
        features=tfds.features.FeaturesDict(
            {
                "id": tfds.features.Text(),
                "tokens": tfds.features.Tensor(shape=(None,), dtype=np.int64),
            }
        ),
        split_infos=[
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[shard.n_records for shard in members],
                num_bytes=sum(shard.bytes for shard in members),
                filename_template=template.replace(split=split),
            )
            for split, members in splits.items()
        ],
        filename_template=template,
        check_data=False,
        description="Crystals as SCOPE token sequences; manifest.json says whence.",
    )
