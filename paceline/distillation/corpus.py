"""All text of a run: shards in the order in which they were written, which others may still be adding to."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from paceline.distillation.document import Document
from paceline.distillation.shard import read_shard, write_shard


class Corpus:
    """The shards of a directory, in memory: about 80 bytes a token with 16 labels.

    One process at a time appends; any number may read beside it.
    """

    def __init__(self, directory: Path, vocabulary_size: int) -> None:
        """Read what is there; the directory is made where it is missing."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._vocabulary_size = vocabulary_size
        self._shards: list[list[Document]] = []
        self.refresh()

    @property
    def num_shards(self) -> int:
        """How many shards have been read."""
        return len(self._shards)

    @property
    def num_written_tokens(self) -> int:
        """Tokens that the target wrote, held-out ones included."""
        return sum(document.num_written for document in chain.from_iterable(self._shards))

    def refresh(self) -> None:
        """Read the shards that have come since."""
        while (path := self._path(self.num_shards)).is_file():
            self._shards.append(read_shard(path))

    def append(self, documents: Sequence[Document]) -> None:
        """Write documents into a new shard."""
        write_shard(self._path(self.num_shards), documents, self._vocabulary_size)
        self._shards.append(list(documents))

    def training_documents(self, num_shards: int) -> list[Document]:
        """Return what may be trained on of the first shards."""
        return [one for one in self._of_first(num_shards) if not one.is_held_out]

    def held_out_documents(self) -> list[Document]:
        """Return what nobody is trained on, the oldest first."""
        return [one for one in self._of_first(self.num_shards) if one.is_held_out]

    def _of_first(self, num_shards: int) -> chain[Document]:
        return chain.from_iterable(self._shards[:num_shards])

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:06d}.npz"
