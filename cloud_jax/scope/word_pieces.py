"""The vocabulary of released weights, made from a Hugging Face BERT tokenizer.

CLOUD's authors publish their weights with a word-piece tokenizer: `vocab.txt` and 101
added tokens for the fractions. `O` is one token for both oxygen and a translation, and
a rare word is spelled with several pieces (`27m` as `27 ##m`). All words of the
`paper` dialect are known beforehand, so each is spelled once, when the tokenizer is
read, and the grammar of the sentence is checked as in every other vocabulary.

Sentences are those of the `paper` dialect. The authors' table of generator strings is
wrong for two space groups and unusual for a third, and their weights learned these
strings. The vocabulary therefore replaces ours by theirs just before it looks up the
ids; no other module sees them.
"""

from dataclasses import dataclass

from cloud_jax.scope.vocabulary import Vocabulary

# CLOUD's data/generator.json where it differs from pymatgen's table: 39 and 131
# generate groups 21 and 130, 222 is written in another convention.
RELEASED_GENERATORS = {
    39: "03aODDbOOOcODO0",
    131: "13bDDOgDOOcODD0",
    222: "14bDDOcDODdOOOeOOD1YYY",
}
SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True, eq=False)
class WordPieceVocabulary(Vocabulary):
    """A vocabulary whose tokens and ids are those of released weights.

    Attributes:
        spelling: ids of each role-tagged token of the `paper` vocabulary. Words that
            the tokenizer would call unknown are left out.
        generators: {our generator string: that of the weights}, both spaced out.
    """

    spelling: dict[str, tuple[int, ...]]
    generators: dict[str, str]

    @property
    def pad_id(self) -> int:
        """Return the id of padding, which need not be 0."""
        return self._ids["[PAD]"]

    @property
    def cls_id(self) -> int:
        """Return the id of [CLS], which need not be 1."""
        return self._ids["[CLS]"]

    @property
    def sep_id(self) -> int:
        """Return the id of [SEP]."""
        return self._ids["[SEP]"]

    @property
    def mask_id(self) -> int:
        """Return the id of [MASK]."""
        return self._ids["[MASK]"]

    @property
    def bar_id(self) -> int:
        """Return the id of the bar between parts."""
        return self._ids["|"]

    @property
    def special_ids(self) -> tuple[int, ...]:
        """Return the ids of padding, [CLS], [SEP], [MASK] and the bar."""
        return self.pad_id, self.cls_id, self.sep_id, self.mask_id, self.bar_id

    def encode(self, sentence: str) -> list[int]:
        """Return the token ids of a `paper` sentence; see the base class."""
        symmetry, bar, rest = sentence.partition("|")
        symmetry = " ".join(symmetry.split())
        return super().encode(self.generators.get(symmetry, symmetry) + bar + rest)

    def decode(self, ids) -> str:
        """Return the sentence that the weights see, pieces joined to words."""
        return super().decode(ids).replace(" ##", "")

    def _spell(self, token: str) -> tuple[int, ...]:
        return self.spelling.get(token, ())

    def _content(self) -> dict:
        return {
            **super()._content(),
            "spelling": self.spelling,
            "generators": self.generators,
        }

    @classmethod
    def fields(cls, content: dict) -> dict:
        """Return the constructor's arguments from the content of a file."""
        spelling = {word: tuple(ids) for word, ids in dict(content["spelling"]).items()}
        fields = {"spelling": spelling, "generators": content["generators"]}
        return super().fields(content) | fields
