# The digest makes builds reproducible. To use a newer image, read its digest with
# `docker buildx imagetools inspect python:3.13-slim`.
ARG BASE=python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${BASE} AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir /wheels/*.whl

FROM ${BASE} AS base
COPY --from=build /venv /venv
RUN useradd --no-create-home --uid 10001 analysis \
 && install -d -o analysis -g analysis /data
ENV PATH=/venv/bin:$PATH \
    ANALYSIS_DATABASE=/data/analysis.db \
    ANALYSIS_HOST=0.0.0.0 \
    ANALYSIS_PORT=8000
USER analysis
WORKDIR /data
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s \
  CMD ["python", "-m", "saasus_analysis.health"]
ENTRYPOINT ["saasus-analysis"]

# The test double: in memory, and open to everybody who reaches the container.
FROM base AS double
ENV ANALYSIS_DOUBLE_REMOTE=on
CMD ["double"]

# The service: the default target of a build.
FROM base AS service
VOLUME /data
CMD ["serve"]
