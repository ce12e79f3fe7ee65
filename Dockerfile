FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir /wheels/*.whl

FROM python:3.13-slim AS base
COPY --from=build /venv /venv
RUN useradd --no-create-home --uid 10001 analysis \
 && install -d -o analysis -g analysis /data
ENV PATH=/venv/bin:$PATH \
    ANALYSIS_DATABASE=/data/analysis.db
USER analysis
WORKDIR /data
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["saasus-analysis"]

# The test double: in memory, and open to whoever reaches the container.
FROM base AS double
CMD ["double", "--host", "0.0.0.0", "--port", "8000", "--remote"]

# The service, which is what a build without --target makes.
FROM base AS service
VOLUME /data
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
