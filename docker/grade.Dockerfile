# The grade image: graders and sandbox, no torch; the one in which model-written code runs.
#
# `make images` builds it: wheels and Debian packages are fetched and checked first, the build has no network.
# By hand, with those two folders: docker buildx build --network none --build-context wheels=DIR --build-context debs=DIR \
#     --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" -f docker/grade.Dockerfile .
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
FROM ${BASE_IMAGE}

# The commit's time, for everything that would else write the clock's: pip, useradd, Python's byte code.
ARG SOURCE_DATE_EPOCH=0

# dpkg's log and the linker's cache hold times and inode numbers: two builds would differ by them.
RUN --mount=type=bind,from=debs,target=/debs \
    set -eu; \
    DEBIAN_FRONTEND=noninteractive dpkg --install /debs/*.deb; \
    rm -rf /var/log/dpkg.log /var/log/alternatives.log /var/cache/ldconfig; \
    useradd --uid 10001 --user-group --no-log-init --home-dir /tmp --no-create-home --shell /usr/sbin/nologin kit

# setuptools first, the cpu lock's, as this one has none: it builds the few pure-Python source packages of the lock.
RUN --mount=type=bind,source=requirements/grade.txt,target=/lock.txt \
    --mount=type=bind,source=requirements/cpu.txt,target=/tools.txt \
    --mount=type=bind,from=wheels,target=/wheels \
    set -eu; \
    python3 -m venv /opt/venv; \
    awk '/^[^ ]/ {inside = index($0, "setuptools==") == 1} inside' /tools.txt >/tmp/setuptools.txt; \
    cat /lock.txt >/tmp/lock.txt; \
    for lock in /tmp/setuptools.txt /tmp/lock.txt; do \
        /opt/venv/bin/python -I -m pip install --no-input --no-cache-dir --disable-pip-version-check --no-deps \
            --no-build-isolation --no-index --find-links /wheels --require-hashes -r "$lock"; \
    done; \
    rm -rf /tmp/*

# The source last: a change to it leaves the layers above as they are.
COPY pyproject.toml README.md LICENSE /opt/kit/
COPY requirements /opt/kit/requirements
COPY manifests /opt/kit/manifests
COPY kit /opt/kit/kit
RUN set -eu; \
    /opt/venv/bin/python -I -m pip install --no-input --no-cache-dir --disable-pip-version-check --no-deps \
        --no-build-isolation --no-index --editable /opt/kit; \
    rm -rf /tmp/*

# HOME is the one place that a read-only container can write besides its output: a tmpfs, gone with the container.
# LOGNAME: a container may run as an id that has no name, and libraries ask for one.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    LOGNAME=kit \
    KIT_IMAGE=grade \
    KIT_STORE=/store

ARG REVISION=unknown
ARG LOCK_SHA256=unknown
ARG BASE_DIGEST=unknown
ARG BASE_IMAGE
LABEL org.opencontainers.image.title="evolkit grade" \
      org.opencontainers.image.description="Graders and sandbox of the kit" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="$BASE_IMAGE" \
      org.opencontainers.image.base.digest="$BASE_DIGEST" \
      org.evolkit.environment="grade" \
      org.evolkit.lock="$LOCK_SHA256"

WORKDIR /opt/kit
USER 10001:10001
ENTRYPOINT ["/opt/venv/bin/kit", "job"]
