# docker build -t speu . && docker run --rm -v "$PWD:/data" speu --help
# The same targets as on any machine: docker run --rm --workdir /speu --entrypoint make speu test
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends make gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 speu \
    && install --directory --owner speu --group speu /speu /data

USER speu
WORKDIR /speu
COPY --chown=speu:speu . .
RUN --mount=type=cache,target=/home/speu/.cache/pip,uid=1000 make venv PYTHON=python3.11
ENV PATH="/speu/.venv/bin:$PATH"

# Mounted data belongs to whoever runs the container: --user "$(id -u):$(id -g)".
WORKDIR /data
ENTRYPOINT ["speu"]
