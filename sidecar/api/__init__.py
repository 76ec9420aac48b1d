"""What the application in the pod may ask for, and how its calls are carried through.

It knows neither HTTP (that is `sidecar.http.api`) nor Telethon (that is `sidecar.telegram`): `models` has what goes in
and out, `problems` what can go wrong, `mailroom` carries a call through, with `gates` for what Telegram holds back,
`addresses` for who is who, and `ledger` for what was sent. `updates` remembers what happened to messages. `openapi`
describes all of it.
"""
