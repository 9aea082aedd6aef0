"""The `openai` package against the HTTP gateway: whole answers, streams, JSON schemas, and what Paceline adds.

pip install openai
python examples/openai_chat.py "Name three rivers."
"""

import os
import sys

from openai import OpenAI

URL = os.environ.get("PACELINE_URL", "http://127.0.0.1:8000")
# The package wants a key, whether or not the orchestrator does.
client = OpenAI(base_url=f"{URL}/v1", api_key=os.environ.get("PACELINE_API_KEY", "none"))


def main() -> None:
    question = sys.argv[1] if len(sys.argv) > 1 else "Name three rivers."
    model = client.models.list().data[0].id

    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], max_tokens=60, seed=1
    )
    print(answer.choices[0].message.content)
    print(answer.usage)

    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        max_tokens=60,
        temperature=0.7,
        stream=True,
        extra_body={"paceline": {"speculation": {"mode": "adaptive"}}},
    )
    rollback_token = ""
    for chunk in stream:
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
        # What Paceline adds: rounds, origins of tokens, rollback tokens.
        rollback_token = (chunk.model_extra or {}).get("paceline", {}).get("rollback_token") or rollback_token
    print(f"\nthe session stands at {rollback_token[:16]}...")

    river = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Give me a river as JSON."}],
        max_tokens=60,
        response_format={
            "type": "json_schema",
            "json_schema": {
                "name": "river",
                "schema": {
                    "type": "object",
                    "properties": {"name": {"enum": ["Nile", "Amazon", "Rhine"]}},
                    "required": ["name"],
                    "additionalProperties": False,
                },
            },
        },
    )
    print(river.choices[0].message.content)


if __name__ == "__main__":
    main()
