"""TFRecord files of `tf.train.Example`, written and read without TensorFlow."""

import struct
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)

from cloud_jax.files import atomic_open

# A record: its length (uint64) and the CRC of that, the payload and the CRC of it.
_HEADER, _FOOTER = 12, 4
_MASK = 0xA282EAD8  # added to a rotated CRC, so that a CRC of CRCs is not weak

# tensorflow/core/example/{example,feature}.proto without floats, which no shard holds.
_EXAMPLE = """
name: "example.proto" package: "cloud_jax" syntax: "proto3"
message_type { name: "BytesList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "Int64List"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type { name: "Feature"
  field { name: "bytes_list" number: 1 type: TYPE_MESSAGE type_name: "BytesList" }
  field { name: "int64_list" number: 3 type: TYPE_MESSAGE type_name: "Int64List" } }
message_type { name: "Features"
  nested_type { name: "FeatureEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
            type_name: "Feature" } }
  field { name: "feature" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: "FeatureEntry" } }
message_type { name: "Example"
  field { name: "features" number: 1 type: TYPE_MESSAGE type_name: "Features" } }
"""


@cache
def example_class() -> type:
    """Return the message class `tf.train.Example`, made at run time."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_EXAMPLE, descriptor_pb2.FileDescriptorProto()))
    message = pool.FindMessageTypeByName("cloud_jax.Example")
    return message_factory.GetMessageClass(message)


def write_records(path: Path, payloads: Iterable[bytes]) -> None:
    """Write one record per payload.

    Raises:
        OSError: the file cannot be written, for instance on a full disk.
    """
    with atomic_open(path) as file:
        for payload in payloads:
            length = struct.pack("<Q", len(payload))
            file.write(length + _masked_crc(length) + payload + _masked_crc(payload))


def _masked_crc(data: bytes) -> bytes:
    """Return the CRC-32C of some bytes, masked as TFRecord files have it."""
    import google_crc32c  # here: reading needs no more than the standard library

    crc = google_crc32c.value(data)
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + _MASK) & 0xFFFFFFFF)


def read_records(path: Path) -> Iterator[bytes]:
    """Yield the payload of each record.

    The CRCs are not checked: shards are verified whole, by their SHA-256.

    Raises:
        ValueError: the file ends inside a record.
    """
    data = path.read_bytes()
    at = 0
    while at < len(data):
        start = at + _HEADER
        length = struct.unpack_from("<Q", data, at)[0] if start <= len(data) else 0
        if start + length + _FOOTER > len(data):
            raise ValueError(
                f"{path}: the record at byte {at} runs past the end of the file "
                f"({len(data)} bytes); it is truncated or not a TFRecord file: "
                "prepare the dataset again"
            )
        yield data[start : start + length]
        at = start + length + _FOOTER
