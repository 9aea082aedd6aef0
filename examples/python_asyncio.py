"""The client library with asyncio: several conversations at once, each with a deadline.

pip install paceline
python examples/python_asyncio.py
"""

import asyncio
import os

from paceline.client import AsyncClient, DeadlineExceededError

ADDRESS = os.environ.get("PACELINE_ADDRESS", "127.0.0.1:7000")
CITIES = ("Kyoto", "Turin", "Quito")


async def describe(client: AsyncClient, city: str) -> str:
    stream = client.stream(f"One sentence about {city}.", max_tokens=40, timeout_seconds=60)
    try:
        answer = await stream.finish()
    except DeadlineExceededError:
        return f"{city}: {stream.answer.text} ... (that is all that came in time)"
    return f"{city}: {answer.text}"


async def main() -> None:
    async with AsyncClient(ADDRESS, api_key=os.environ.get("PACELINE_API_KEY")) as client:
        for description in await asyncio.gather(*(describe(client, city) for city in CITIES)):
            print(description)


asyncio.run(main())
