#!/usr/bin/env bash
# Builds the image and runs it as Kubernetes would, without a daemon, a registry or a cluster: `make image-test`.
#
# Needs root, kubectl, and Debian's buildah, podman, runc, mmdebstrap and catatonit. Where the machine cannot do it, it says
# what is missing and ends with 77.
# The base image is not to be had without a registry. A Debian of the same release with Debian's Python stands in under
# its name, so what is tested is the Dockerfile and the daemon, and not the base's own Python.
#
#   PYTHON  a Python with the development requirements; it plays Telegram, in this checkout
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-.venv/bin/python}
WORK=$PWD/build/image
BASE=docker.io/library/python:3.13-slim-bookworm
IMAGE=localhost/telethon-sidecar:test
NAME=telethon-sidecar-test
PORT=19877
STORE=(--root "$WORK/storage" --runroot "$WORK/run" --storage-driver "${STORAGE_DRIVER:-overlay}")

say() { printf '\n--- %s\n' "$*"; }
cannot() { printf '\n!!! THE IMAGE WAS NOT TESTED: %s\n' "$*" >&2; exit 77; }
now() { date +%s.%N; }
since() { "$PYTHON" -c "print(f'{$(now) - $1:.1f} s')"; }

[ "$(id -u)" = 0 ] || cannot "this needs root"
for program in buildah podman runc mmdebstrap catatonit kubectl; do
    command -v "$program" > /dev/null || cannot "$program is missing (apt-get install buildah podman runc mmdebstrap catatonit)"
done
mkdir -p "$WORK"

# Without these, the defaults of podman ask for more than a container within a container may have.
cat > "$WORK/containers.conf" <<'CONF'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' > "$WORK/policy.json"
export CONTAINERS_CONF=$WORK/containers.conf
pod() { podman "${STORE[@]}" "$@"; }

cleanup() {
    status=$?
    if [ "$status" != 0 ]; then
        for each in "$NAME" telethon-keeper-telethon-sidecar; do pod logs "$each" 2> /dev/null | tail -20 || true; done
    fi
    pod rm --force --time 0 "$NAME" > /dev/null 2>&1 || true
    pod play kube --down "$WORK/keeper.yaml" > /dev/null 2>&1 || true
    if [ -n "${SIMULATOR_PID:-}" ]; then kill "$SIMULATOR_PID" 2> /dev/null || true; fi
    exit "$status"
}
trap cleanup EXIT

if ! buildah "${STORE[@]}" inspect --type image "$BASE" > /dev/null 2>&1; then
    say "a base, made with mmdebstrap"
    mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,python-is-python3,ca-certificates \
        bookworm "$WORK/base.tar" || cannot "mmdebstrap could not make a base"
    container=$(buildah "${STORE[@]}" from scratch)
    buildah "${STORE[@]}" add --quiet "$container" "$WORK/base.tar" / > /dev/null
    buildah "${STORE[@]}" commit --quiet --rm --signature-policy "$WORK/policy.json" "$container" "$BASE" > /dev/null
    rm "$WORK/base.tar"
fi

say "the image"
# What this machine needs to reach its package index, if anything: pip's configuration and the certificates it names.
mounts=()
ca=${PIP_CERT:-$("$PYTHON" -m pip config get global.cert 2> /dev/null || true)}
if [ -n "$ca" ]; then mounts+=(--volume "$(realpath "$ca"):/etc/image-test-ca.crt:ro"); fi
"$PYTHON" -m pip config list 2> /dev/null | grep -E "^(global|install|:env:)\.(index-url|extra-index-url)=" \
    | grep -v file: | sed -E 's/^[^.]*\.([a-z-]+)=.(.*).$/\1 = \2/' > "$WORK/indexes" || true
{ echo "[global]"; cat "$WORK/indexes"; if [ -n "$ca" ]; then echo "cert = /etc/image-test-ca.crt"; fi; } > "$WORK/pip.conf"
mounts+=(--volume "$WORK/pip.conf:/etc/pip.conf:ro")
# Whether this machine lets containers do what Kubernetes does, and reach the package index, is not the image's merit.
pod run --rm --read-only --cap-drop=all --security-opt no-new-privileges --network host "$BASE" true \
    || cannot "podman cannot run a container here"
probe=$(buildah "${STORE[@]}" from --pull-never --signature-policy "$WORK/policy.json" "$BASE")
buildah "${STORE[@]}" run --isolation chroot "${mounts[@]}" "$probe" -- sh -c \
    'python -m venv /tmp/venv && /tmp/venv/bin/pip download --quiet --no-deps --no-cache-dir --dest /tmp idna' > /dev/null \
    || cannot "pip reaches no package index from a container"
buildah "${STORE[@]}" rm "$probe" > /dev/null

begun=$(now)
buildah "${STORE[@]}" build --quiet --layers --isolation chroot --pull-never --signature-policy "$WORK/policy.json" \
    --format docker "${mounts[@]}" --build-arg VERSION=test --tag "$IMAGE" . > /dev/null
printf 'built in %s\n' "$(since "$begun")"
size=$(pod image inspect --format '{{.Size}}' "$IMAGE")
base_size=$(pod image inspect --format '{{.Size}}' "$BASE")
printf 'size: %s MB, of which the base has %s MB\n' $((size / 1000000)) $((base_size / 1000000))

say "a Telegram of our own, and a session in it"
rm -rf "$WORK/secret"; mkdir -p "$WORK/secret"
coproc SIMULATOR { PYTHONPATH=$PWD exec "$PYTHON" -m tests.datacentre_process 127.0.0.1 0 1; }
read -r told <&"${SIMULATOR[0]}"
"$PYTHON" - "$told" "$WORK/secret" <<'PY'
import json, pathlib, sys
told, directory = json.loads(sys.argv[1]), pathlib.Path(sys.argv[2])
for name, content in {"api_id": "1", "api_hash": "0" * 32, "session_string": told["session"]}.items():
    (directory / name).write_text(content)
    (directory / name).chmod(0o444)
PY

hardened=(--read-only --read-only-tmpfs=false --cap-drop=all --security-opt no-new-privileges --network host)

# Podman would need systemd to run the health check by a timer; it is run by hand below.
hardened+=(--no-healthcheck)

say "run: read-only, no capabilities, no new privileges, numeric user"
begun=$(now)
pod run --detach --name "$NAME" "${hardened[@]}" \
    --user 65532:65532 --memory 192m --env SIDECAR_PORT="$PORT" --env SIDECAR_HOST=127.0.0.1 \
    --env SIDECAR_SECRETS_DIR=/etc/telegram --volume "$WORK/secret:/etc/telegram:ro" \
    --env SIDECAR_STATE_DIR=/var/lib/telethon-sidecar --tmpfs /var/lib/telethon-sidecar:mode=1777,size=1m \
    "$IMAGE" > /dev/null
"$PYTHON" -m sidecar wait --for ready --timeout 60s --port "$PORT"
printf 'from podman run to /readyz 200: %s\n' "$(since "$begun")"
pid=$(pod inspect --format '{{.State.Pid}}' "$NAME")
awk '/^(VmRSS|VmHWM|Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):/ { print }' "/proc/$pid/status" | tee "$WORK/status"
# What the limits in deploy/k8s are made of. Bytecode that is not used doubles it.
[ "$(awk '/^VmRSS:/ { print $2 }' "$WORK/status")" -lt 98304 ] || { echo "more than 96 MiB, what the manifests request"; exit 1; }
grep -qE '^Uid:\s65532\s65532\s65532\s65532' "$WORK/status"
grep -qE '^CapEff:\s0+$' "$WORK/status"
grep -qE '^CapBnd:\s0+$' "$WORK/status"
grep -qE '^NoNewPrivs:\s1' "$WORK/status"
[ "$(tr '\0' '\n' < "/proc/$pid/cmdline" | tail -1)" = run ]    # process 1 itself, and no shell around it
pod exec "$NAME" telethon-sidecar healthcheck
if pod exec "$NAME" touch /tmp/written 2> /dev/null; then echo "the root file system can be written"; exit 1; fi

say "podman stop"
begun=$(now)
pod stop --time 10 "$NAME" > /dev/null
code=$(pod inspect --format '{{.State.ExitCode}}' "$NAME")
printf 'exit code %s after %s\n' "$code" "$(since "$begun")"
[ "$code" = 0 ]
pod logs "$NAME" | grep -q telegram_disconnected
pod rm "$NAME" > /dev/null

say "podman play kube: deploy/k8s/examples/keeper, as its pod"
# What differs from a cluster: the kind (podman knows no StatefulSet), the image's name, the Secret's place, the network
# and the port. Everything else is the manifest's.
kubectl kustomize deploy/k8s/examples/keeper | "$PYTHON" -c '
import sys, yaml
image, secret, port = sys.argv[1:]
template = yaml.safe_load(sys.stdin)["spec"]["template"]
spec = template["spec"]
container, = spec["containers"]
container["image"] = image
container["env"].append({"name": "SIDECAR_PORT", "value": port})
for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
    container[probe]["httpGet"]["port"] = int(port)
del container["ports"]    # podman maps none on the network of the host
for volume in spec["volumes"]:
    if volume.pop("secret", None):
        volume["hostPath"] = {"path": secret, "type": "Directory"}
spec["hostNetwork"] = True
template["metadata"]["name"] = "telethon-keeper"
print(yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", **template}))
' "$IMAGE" "$WORK/secret" "$PORT" > "$WORK/keeper.yaml"
pod play kube "$WORK/keeper.yaml" > /dev/null
"$PYTHON" -m sidecar wait --for ready --timeout 60s --port "$PORT"
keeper=telethon-keeper-telethon-sidecar
[ "$(pod inspect --format '{{.HostConfig.ReadonlyRootfs}} {{.Config.User}}' "$keeper")" = "true 65532:65532" ]
pod exec "$keeper" touch /var/lib/telethon-sidecar/written
pod stop --time 15 "$keeper" > /dev/null
code=$(pod inspect --format '{{.State.ExitCode}}' "$keeper")
printf 'exit code %s\n' "$code"
[ "$code" = 0 ]

say "all is well with the image"
