"""`python -m sidecar` is `telethon-sidecar`."""

from sidecar.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
