"""TFRecord files: the bytes that TensorFlow writes, read back without it."""

from cloud_jax.tfrecord import example_class, read_records, write_records

# tf.io.TFRecordWriter's file of the records b"abc" and b"".
TENSORFLOWS = bytes.fromhex(
    "0300000000000000b099490e6162636e57f121000000000000000029039807d8ea82a2"
)


def test_records_have_the_bytes_of_tensorflow(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_records(path, [b"abc", b""])
    assert path.read_bytes() == TENSORFLOWS
    assert list(read_records(path)) == [b"abc", b""]


def test_examples_do_not_depend_on_the_order_in_which_features_are_set():
    first, second = example_class()(), example_class()()
    first.features.feature["tokens"].int64_list.value[:] = [1, 300]
    first.features.feature["id"].bytes_list.value[:] = [b"a"]
    second.features.feature["id"].bytes_list.value[:] = [b"a"]
    second.features.feature["tokens"].int64_list.value[:] = [1, 300]
    data = first.SerializeToString(deterministic=True)
    assert data == second.SerializeToString(deterministic=True)
    assert data.index(b"id") < data.index(b"tokens")
