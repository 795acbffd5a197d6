"""TFRecord shards and the metadata that TensorFlow Datasets reads.

The only module that imports TensorFlow: `tfds.builder_from_directory` opens what it
writes, and training reads the same files without TensorFlow.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # no start-up chatter
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # nor its announcement

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

DATASET = "cloud_scope"


class Shard(NamedTuple):
    """One written file."""

    file: str
    n_records: int
    n_tokens: int
    n_bytes: int


def write_split(
    directory: Path,
    split: str,
    records: Iterator[tuple[str, np.ndarray]],
    *,
    n_records: int,
    records_per_shard: int,
) -> list[Shard]:
    """Write one split as shards of nearly equal size.

    Args:
        directory: an existing folder.
        split: `train` or `validation`.
        records: (id, tokens [L]) in the order of the shards.
        n_records: how many there are.
        records_per_shard: at most this many in a file.

    Raises:
        OSError: a file cannot be written, for instance on a full disk.
    """
    n_shards = -(-n_records // records_per_shard)
    bounds = [n_records * i // max(n_shards, 1) for i in range(n_shards + 1)]
    shards = []
    for i in range(n_shards):
        name = f"{DATASET}-{split}.tfrecord-{i:05d}-of-{n_shards:05d}"
        size = bounds[i + 1] - bounds[i]
        shards.append(_write_shard(directory / name, records, size))
    return shards


def _write_shard(
    path: Path, records: Iterator[tuple[str, np.ndarray]], size: int
) -> Shard:
    n_tokens = 0
    example = tf.train.Example()
    name = example.features.feature["id"].bytes_list.value
    values = example.features.feature["tokens"].int64_list.value
    try:
        with tf.io.TFRecordWriter(os.fspath(path)) as writer:
            for _ in range(size):
                identifier, tokens = next(records)
                name[:] = [identifier.encode()]
                values[:] = tokens.tolist()
                writer.write(example.SerializeToString(deterministic=True))
                n_tokens += len(tokens)
    except tf.errors.OpError as error:
        raise OSError(f"{path}: cannot be written ({error.message})") from error
    return Shard(path.name, size, n_tokens, path.stat().st_size)


def write_metadata(directory: Path, splits: dict[str, Sequence[Shard]]) -> None:
    """Write `dataset_info.json` and `features.json` beside the shards."""
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
                shard_lengths=[shard.n_records for shard in shards],
                num_bytes=sum(shard.n_bytes for shard in shards),
                filename_template=template.replace(split=split),
            )
            for split, shards in splits.items()
            if shards
        ],
        filename_template=template,
        check_data=False,
        description="Crystals as SCOPE token sequences; manifest.json says whence.",
    )
