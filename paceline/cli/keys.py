"""`paceline keys`: API keys of tenants, and the digests by which orchestrators know them."""

import json
import sys
from typing import Annotated

import typer

from paceline.api_key import api_key_digest, new_api_key
from paceline.errors import InvalidRequestError

app = typer.Typer(no_args_is_help=True, help="API keys of tenants, and their digests for the tenants file.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]


@app.command("new")
def new_key(*, as_json: AsJson = False) -> None:
    """Draw a key: give it to the tenant, and its SHA-256 to the tenants file. The key is kept nowhere."""
    key = new_api_key()
    digest = api_key_digest(key).hex()
    if as_json:
        print(json.dumps({"api_key": key, "sha256": digest}))
        return
    print(f"api_key: {key}")
    print(f"sha256:  {digest}")


@app.command("digest")
def digest_key() -> None:
    """Print the SHA-256 of a key that comes by standard input, where no other process sees it."""
    key = sys.stdin.readline().strip()
    if not key:
        raise InvalidRequestError("no key came by standard input; send one in a line", field="api_key")
    print(api_key_digest(key).hex())
