"""The client library: streaming, the next turn, another answer, a fork; broken streams are resumed by themselves.

pip install paceline
python examples/python_client.py "Name three rivers."
"""

import os
import sys

from paceline.client import Client, TokenOrigin

ADDRESS = os.environ.get("PACELINE_ADDRESS", "127.0.0.1:7000")


def main() -> None:
    question = sys.argv[1] if len(sys.argv) > 1 else "Name three rivers."
    with Client(ADDRESS, api_key=os.environ.get("PACELINE_API_KEY")) as client:
        stream = client.stream(question, max_tokens=60, temperature=0.7, seed=1)
        for chunk in stream:
            for token in chunk.tokens:
                is_of_the_draft = token.origin is TokenOrigin.ACCEPTED
                print(f"[{token.text}]" if is_of_the_draft else token.text, end="", flush=True)
        answer = stream.answer
        print(f"\n{answer!r}, seed {answer.seed}")

        turn = answer.reply("Which of them is the longest?", max_tokens=30)
        print("the next turn:", turn.text)

        other = turn.rewind(to=3, seed=2)
        print("another answer with the same first three tokens:", other.text)

        fork = other.fork(to=0, temperature=0.0)
        print("greedy, in a session of its own:", fork.text)
        print("both can be gone on with:", other.session_id != fork.session_id)


if __name__ == "__main__":
    main()
