"""The text of a generation as it grows."""

from orchestrator.generated_round import GeneratedRound
from paceline.client.generation import GeneratedToken, TokenChunk
from paceline.models.detokenizer import Detokenizer


class Transcript:
    """Turns rounds into chunks whose text is always whole characters; a token's text is what it completed."""

    def __init__(self, detokenizer: Detokenizer) -> None:
        self._detokenizer = detokenizer

    def chunk(self, generated: GeneratedRound) -> TokenChunk:
        """Return a round as the client gets it; the last one has what was held back."""
        texts = [self._detokenizer.push((token_id,)) for token_id in generated.ids]
        if generated.is_last:
            texts[-1] += self._detokenizer.flush()
        tokens = tuple(
            GeneratedToken(token_id, text, generated.origin(place))
            for place, (token_id, text) in enumerate(zip(generated.ids, texts, strict=True))
        )
        num_accepted = min(generated.num_accepted, len(tokens))
        return TokenChunk(generated.position, tokens, "".join(texts), generated.round, num_accepted)
