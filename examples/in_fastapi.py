"""The keeper inside a FastAPI program: POST /notify sends a text to CHANNEL_URL.

Run it with one worker: each further one would be a second connection with the same session.
"""

from __future__ import annotations

import os

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from sidecar import TelegramUnavailableError, get_telegram_client

app = FastAPI()


class Notice(BaseModel):
    """What to send."""

    text: str


@app.post("/notify")
async def notify(notice: Notice) -> dict[str, int]:
    """Send a text."""
    try:
        async with get_telegram_client(timeout=10) as client:  # the first one starts the keeper of this process
            sent = await client.send_message(os.environ.get("CHANNEL_URL", "me"), notice.text)
    except TelegramUnavailableError as error:
        raise HTTPException(503, str(error), headers={"Retry-After": "5"}) from None
    return {"id": sent.id}
