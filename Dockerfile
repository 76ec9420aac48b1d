# telethon-sidecar. Build it with docker, podman or buildah, from this directory:
#
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" -t telethon-sidecar:0.1.0 .
#
# Any Python from 3.11 on will do; the two stages must have the same one.
ARG PYTHON_TAG=3.13-slim-bookworm

FROM docker.io/library/python:${PYTHON_TAG} AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src

# What changes seldom comes first. Every package is pinned with its hash, those that build wheels included: some packages
# are published as source only.
COPY requirements/build.txt requirements/run.txt requirements/
RUN python -m venv /opt/build && \
    /opt/build/bin/pip install --require-hashes -r requirements/build.txt && \
    /opt/build/bin/pip wheel --no-build-isolation --use-pep517 --require-hashes -r requirements/run.txt -w /wheels

COPY pyproject.toml README.md LICENSE ./
COPY sidecar sidecar
# Without pip, which nothing needs in there.
RUN /opt/build/bin/pip wheel --no-build-isolation --no-deps -w /wheels . && \
    python -m venv --without-pip /opt/telethon-sidecar && \
    /opt/build/bin/pip --python /opt/telethon-sidecar/bin/python install --no-compile --no-index --no-deps /wheels/*.whl

# Bytecode, for without it Telethon costs 121 MiB instead of 49, and every start takes seconds. "unchecked": the files of
# an image never change, and times do when they are copied, which would make all of it void. "-f" replaces what pip or the
# base has compiled with times in it.
RUN /opt/telethon-sidecar/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /opt/telethon-sidecar/lib


FROM docker.io/library/python:${PYTHON_TAG}

ARG PYTHON_TAG
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="telethon-sidecar" \
      org.opencontainers.image.description="Keeps one Telegram session connected beside your application, and tells the truth about it." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/python:${PYTHON_TAG}"

# The base image ships the standard library without bytecode. What is tests, installers and windows is left as it is.
RUN python -c "import sysconfig; print(sysconfig.get_path('stdlib'))" > /tmp/stdlib && \
    python -m compileall -q -f --invalidation-mode unchecked-hash \
        -x '/(test|tests|idlelib|ensurepip|lib2to3|tkinter|turtledemo|(site|dist)-packages)/' "$(cat /tmp/stdlib)" && \
    rm /tmp/stdlib

COPY --from=build /opt/telethon-sidecar /opt/telethon-sidecar

# SIDECAR_HOST: probes and Prometheus come from outside the container. Nothing is ever written beside the code.
ENV PATH=/opt/telethon-sidecar/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    SIDECAR_HOST=0.0.0.0

# A number, as runAsNonRoot demands. It needs no name, no home and no file of its own.
USER 65532:65532
EXPOSE 9877

# Kubernetes has probes of its own, and does not look at this. A healthy process is one that makes progress, whatever
# Telegram does: a restart mends nothing else.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["telethon-sidecar", "healthcheck"]
STOPSIGNAL SIGTERM

# Process 1 itself, without a shell: the signal reaches it, and its exit code gets out.
ENTRYPOINT ["telethon-sidecar"]
CMD ["run"]
