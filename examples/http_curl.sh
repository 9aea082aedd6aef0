#!/bin/sh
# The HTTP gateway with curl: OpenAI's API, and what Paceline adds to it.
set -eu

url="${PACELINE_URL:-http://127.0.0.1:8000}"

call() {
    path="$1"
    shift
    # The key goes through a pipe: everybody on the machine can read the arguments of a command.
    key_header | curl --config - \
        --silent --show-error --fail-with-body --header 'Content-Type: application/json' "$@" "$url$path"
    echo
}

key_header() {
    if [ -n "${PACELINE_API_KEY:-}" ]; then
        printf 'header = "Authorization: Bearer %s"\n' "$PACELINE_API_KEY"
    fi
}

call /v1/models

# A whole answer; `paceline` in it says what speculation did.
call /v1/chat/completions --data '{
  "messages": [{"role": "user", "content": "Name three rivers."}],
  "max_tokens": 20
}'

# Streamed as server-sent events, with a fixed draft length, and each token's origin.
call /v1/chat/completions --no-buffer --data '{
  "messages": [{"role": "user", "content": "Name three rivers."}],
  "max_tokens": 20,
  "stream": true,
  "stream_options": {"include_usage": true},
  "paceline": {"speculation": {"mode": "fixed", "num_draft_tokens": 4}, "include_tokens": true}
}'
