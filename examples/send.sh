#!/bin/sh
# Send a message once, read, change and delete it. Needs curl.
set -eu
url=${SIDECAR_URL:-http://127.0.0.1:9878}
chat=${CHAT:-me}

call() {
    if [ -n "${SIDECAR_API_TOKEN:-}" ]; then
        # On standard input, for every process may read the arguments of every other.
        printf 'header = "Authorization: Bearer %s"\n' "$SIDECAR_API_TOKEN" | curl --config - "$@"
    else
        curl "$@"
    fi
}

# The key belongs to the message: whatever happens, send the same call again, and it is one message.
key="order-$(date +%s)-$$"
sent=$(call --silent --show-error --fail-with-body --retry 5 --retry-all-errors --max-time 35 "$url/telegram/messages" \
    --header 'Content-Type: application/json' --header "Idempotency-Key: $key" \
    --data "{\"chat\": \"$chat\", \"text\": \"hello from curl\"}")
echo "sent: $sent"
id=$(printf '%s' "$sent" | sed 's/.*"id": *\([0-9]*\).*/\1/')

call --silent --show-error --fail-with-body "$url/telegram/messages/$id" --request PATCH \
    --header 'Content-Type: application/json' --data "{\"chat\": \"$chat\", \"text\": \"hello again\"}"
call --silent --show-error --fail-with-body "$url/telegram/messages/$id?chat=$chat"
call --silent --show-error --fail-with-body "$url/telegram/messages/$id?chat=$chat" --request DELETE
echo "deleted: $id"
