"""Send a message once, read, change and delete it. Needs httpx."""

from __future__ import annotations

import os
import time
import uuid

import httpx

URL = os.environ.get("SIDECAR_URL", "http://127.0.0.1:9878")
CHAT = os.environ.get("CHAT", "me")
TOKEN = os.environ.get("SIDECAR_API_TOKEN")
PATIENCE = 30.0


def send_once(http: httpx.Client, text: str, key: str) -> dict[str, object]:
    """Send a message; ask again after whatever passes. The key makes it one message, however often it is asked."""
    until = time.monotonic() + 5 * PATIENCE
    while True:
        try:
            answer = http.post(
                "/telegram/messages", json={"chat": CHAT, "text": text}, headers={"Idempotency-Key": key}
            )
        except httpx.TransportError:
            wait = 1.0
        else:
            if answer.status_code not in {429, 503, 504}:
                answer.raise_for_status()
                sent: dict[str, object] = answer.json()
                return sent
            wait = float(answer.headers.get("Retry-After", 1))
        if time.monotonic() + wait > until:
            raise TimeoutError(f"not sent within {5 * PATIENCE:g} s; ask again with key {key}")
        time.sleep(wait)


def main() -> None:
    """Play the life of a message."""
    headers = {"Authorization": f"Bearer {TOKEN}"} if TOKEN else {}
    with httpx.Client(base_url=URL, headers=headers, timeout=PATIENCE + 5) as http:
        sent = send_once(http, "hello from Python", key=str(uuid.uuid4()))
        print("sent:", sent)
        path = f"/telegram/messages/{sent['id']}"
        changed = http.patch(path, json={"chat": CHAT, "text": "hello **again**", "parse_mode": "markdown"})
        print("changed:", changed.raise_for_status().json()["text"])
        print("read:", http.get(path, params={"chat": CHAT}).raise_for_status().json()["text"])
        http.delete(path, params={"chat": CHAT}).raise_for_status()
        print("deleted:", sent["id"])


if __name__ == "__main__":
    main()
