# The web page and the commands, without root. One volume, /data, holds the library, models and config.toml.
#   docker build --tag homescribe .
#   docker run --rm --publish 127.0.0.1:8765:8765 --volume homescribe:/data homescribe
# docs/guides/container.md has more.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
ARG EXTRAS=all
RUN python -m venv /opt/homescribe \
    && /opt/homescribe/bin/pip install --no-cache-dir ".[${EXTRAS}]"

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="homescribe" \
      org.opencontainers.image.description="Whole channels, podcasts and folders as text to search" \
      org.opencontainers.image.source="https://github.com/homescribe/homescribe" \
      org.opencontainers.image.licenses="MIT"
RUN useradd --uid 1000 --create-home homescribe \
    && install --directory --owner homescribe --group homescribe --mode 700 /data
COPY --from=build /opt/homescribe /opt/homescribe
# Models and what sites ask to remember are in XDG_CACHE_HOME, so that a new container does not download them again.
ENV PATH=/opt/homescribe/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOMESCRIBE_LIBRARY=/data \
    HOMESCRIBE_CONFIG=/data/config.toml \
    MODAL_CONFIG_PATH=/data/modal.toml \
    XDG_CACHE_HOME=/data/cache
USER homescribe
WORKDIR /data
VOLUME /data
EXPOSE 8765
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8765/health', timeout=5)"]
ENTRYPOINT ["homescribe"]
CMD ["serve", "--host", "0.0.0.0", "--no-open"]
