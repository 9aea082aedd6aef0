"""LangChain's OpenAI classes against the HTTP gateway: a chain, and a stream.

pip install langchain-openai
python examples/langchain_chat.py rivers
"""

import os
import sys

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI, OpenAI

URL = os.environ.get("PACELINE_URL", "http://127.0.0.1:8000")
KEY = os.environ.get("PACELINE_API_KEY", "none")
MODEL = os.environ.get("PACELINE_MODEL", "")  # any name that is served; empty for whatever it is


def main() -> None:
    topic = sys.argv[1] if len(sys.argv) > 1 else "rivers"
    chat = ChatOpenAI(base_url=f"{URL}/v1", api_key=KEY, model=MODEL, max_tokens=40, temperature=0.7, seed=1)
    prompt = ChatPromptTemplate.from_messages(
        [("system", "You are brief."), ("user", "One fact about {topic}.")]
    )
    chain = prompt | chat | StrOutputParser()
    print(chain.invoke({"topic": topic}))
    for piece in chain.stream({"topic": topic}):
        print(piece, end="", flush=True)
    print()

    completion = OpenAI(base_url=f"{URL}/v1", api_key=KEY, model=MODEL, max_tokens=16)
    print(completion.invoke("1 + 1 ="))


if __name__ == "__main__":
    main()
