"""Errors of an application as answers: nothing that is raised leaves it."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.gateway.http_errors import HttpError, answer_of
from orchestrator.gateway.presence import ClientGoneError


class JsonResponse(Response):
    """An answer as JSON."""

    media_type = "application/json"

    def __init__(
        self, content: Mapping[str, Any], status_code: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(to_json(content, inf_nan_mode="null"), status_code, dict(headers or {}))


class RefusingApp:
    """Answers what an application raises in OpenAI's shape; where the client has gone there is nobody to answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        has_begun = False

        async def noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        scope["app"] = self  # with it Starlette's router raises what it would else answer in plain text
        try:
            await self._app(scope, receive, noting)
        except (ClientGoneError, ClientDisconnect):
            pass
        except Exception as error:
            if has_begun:  # the connection is cut: what came of the answer is not the whole
                raise
            answer = answer_of(_ours(error))
            response = JsonResponse(answer.body, answer.kind.status, {**_headers(error), **answer.headers})
            await response(scope, receive, send)


def _ours(error: Exception) -> Exception:
    """Return an error of the router as one of ours."""
    if not isinstance(error, HTTPException):
        return error
    if error.status_code == 405:
        return HttpError("METHOD_NOT_ALLOWED", "this page does not know the method of the request")
    return HttpError("NO_SUCH_PAGE", "there is no such page; /openapi.json describes those that there are")


def _headers(error: Exception) -> dict[str, str]:
    return dict(error.headers or {}) if isinstance(error, HTTPException) else {}
