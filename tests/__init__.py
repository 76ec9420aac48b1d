"""The tests of telethon-sidecar."""
