"""The text that ends a run."""

from pathlib import Path

from cloud_jax.finetuning.results import format_summary

EARLIER = {
    "folds": [{}],
    "protocol": "strict",
    "parameters_of_a_member": 1234,
    "ensemble": {},
    "single": {},
}


def test_results_of_an_earlier_version_do_not_say_what_the_encoder_had_learned():
    text = format_summary(EARLIER, Path("run"))
    assert "1,234 parameters" in text
    assert "learned" not in text
    now = EARLIER | {"checkpoint_learned": "corpus (5 masked tokens)"}
    added = "\nthe encoder had learned from: corpus (5 masked tokens)\n"
    assert added in format_summary(now, Path("run"))
