"""The client for programs without asyncio."""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Self, Unpack

from paceline.client.answer_record import Ask
from paceline.client.async_client import AsyncClient
from paceline.client.background_loop import BackgroundLoop
from paceline.client.conversation import Messages, RawInput
from paceline.client.destination import Destination
from paceline.client.generation import GenerationEvent, GenerationRequest
from paceline.client.options import Options
from paceline.client.retry import RetrySettings
from paceline.client.retry_budget import RetryBudget
from paceline.client.served_model import ServedModels
from paceline.client.sync_answer import Answer, AnswerStream


class Client:
    """Generates text at one or several orchestrators; see docs/client.md.

    It is `AsyncClient` in a thread of its own, so that what resumes a broken stream is written once. Any thread may
    use it, several at once; Ctrl-C ends what the main thread waits for. `close`, or the end of a `with`, ends what
    still runs.

    The arguments are those of `AsyncClient`, which says what they mean; raises ConfigError.
    """

    def __init__(
        self,
        addresses: str | Sequence[str] | Destination,
        *,
        api_key: str | None = None,
        ca_file: Path | str | None = None,
        certificate_file: Path | str | None = None,
        key_file: Path | str | None = None,
        server_name: str | None = None,
        insecure: bool = False,
        timeout_seconds: float | None = None,
        retry: RetrySettings | None = None,
        retry_budget: RetryBudget | None = None,
    ) -> None:
        self._client = AsyncClient(
            addresses,
            api_key=api_key,
            ca_file=ca_file,
            certificate_file=certificate_file,
            key_file=key_file,
            server_name=server_name,
            insecure=insecure,
            timeout_seconds=timeout_seconds,
            retry=retry,
            retry_budget=retry_budget,
        )
        self._loop = BackgroundLoop("paceline-client")

    @classmethod
    def from_environment(
        cls,
        *,
        timeout_seconds: float | None = None,
        retry: RetrySettings | None = None,
        retry_budget: RetryBudget | None = None,
    ) -> Self:
        """Return a client of what the environment names; see `Destination.of_environment`. Raises ConfigError."""
        return cls(
            Destination.of_environment(),
            timeout_seconds=timeout_seconds,
            retry=retry,
            retry_budget=retry_budget,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; calls that still run fail with ClientClosedError. May be called twice."""
        self._loop.close(self._client.close())

    def chat(self, messages: Messages, **options: Unpack[Options]) -> Answer:
        """Return the answer to a conversation: a text, which is one message of the user, or messages, oldest first.

        Raises:
            RequestRefusedError: The request cannot be served as it is.
            NotAllowedError: The key or the certificate is missing, or not good for it.
            OverloadedError: A quota is used up, or there was no room for too long.
            UnavailableError: Nobody got further with it for `RetrySettings.give_up_seconds`.
            DeadlineExceededError: It took longer than `timeout_seconds`.
            SessionTakenError: Somebody else goes on with the session.
            SessionLostError: The session is not there any more.
            HandshakeFailedError: There is no connection because of TLS.
            InvalidRequestError: The arguments contradict each other.
            ClientClosedError: The client was closed.
            TypeError: There is no such option.

        All but the last are PacelineError. `rollback_token` of those that the orchestrator gave names where the answer
        broke off.
        """
        return self.stream(messages, **options).finish()

    def stream(self, messages: Messages, **options: Unpack[Options]) -> AnswerStream:
        """Do the same, streamed."""
        return self._stream(self._client.stream(messages, **options).ask)

    def complete(self, prompt: RawInput, **options: Unpack[Options]) -> Answer:
        """Return what comes after a text, as it stands, or after token ids; raises as `chat`."""
        return self.stream_completion(prompt, **options).finish()

    def stream_completion(self, prompt: RawInput, **options: Unpack[Options]) -> AnswerStream:
        """Do the same, streamed."""
        return self._stream(self._client.stream_completion(prompt, **options).ask)

    def resume(self, rollback_token: str, *, timeout_seconds: float | None = None) -> AnswerStream:
        """Stream what follows a point of a session, exactly as the broken stream would have; raises as `chat`."""
        return self._stream(self._client.resume(rollback_token, timeout_seconds=timeout_seconds).ask)

    def rewind(
        self, rollback_token: str, messages: Messages | None = None, **options: Unpack[Options]
    ) -> AnswerStream:
        """Stream new tokens from a point of a session on, dropping what came after it; raises as `chat`.

        With messages, which are the whole conversation, only what the session does not hold is computed.
        """
        return self._stream(self._client.rewind(rollback_token, messages, **options).ask)

    def fork(
        self, rollback_token: str, messages: Messages | None = None, **options: Unpack[Options]
    ) -> AnswerStream:
        """Do as `rewind` does, in a new session."""
        return self._stream(self._client.fork(rollback_token, messages, **options).ask)

    def models(self, *, timeout_seconds: float | None = None) -> ServedModels:
        """Return which models are served; raises as `chat`."""
        return self._loop.run(self._client.models(timeout_seconds=timeout_seconds))

    def generate(
        self, request: GenerationRequest, *, timeout_seconds: float | None = None
    ) -> Generator[GenerationEvent]:
        """Yield the events of any request, several choices included; raises as `chat`, and StreamGapError.

        Closing the generator ends the generation.
        """
        return self._loop.iterate(self._client.generate(request, timeout_seconds=timeout_seconds))

    def _stream(self, ask: Ask) -> AnswerStream:
        return AnswerStream(self, ask)
