# The command `camelid` as an image, for serving and for arenas:
#
#   docker build -t camelid .
#   docker run -p 8000:8000 -v ./models:/models:ro camelid serve --model /models/mine --host 0.0.0.0 --port 8000
#   docker run -p 8000:8000 -v votes:/data camelid arena --demo --host 0.0.0.0 --port 8000 --db /data/votes.sqlite
FROM rust:1.95-slim-bookworm AS build
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /camelid
COPY . .
RUN cargo build --locked --profile dist --package camelid

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 camelid && useradd --system --uid 10001 --gid camelid --create-home camelid \
    && install -d -o camelid -g camelid /data /models
COPY --from=build /camelid/target/dist/camelid /usr/local/bin/camelid
USER 10001:10001
WORKDIR /data
ENV CAMELID_CACHE=/data/cache
VOLUME ["/data"]
EXPOSE 8000
# The shell opens the socket itself, so that the image needs no HTTP client.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8000 && printf 'GET /health HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && read -r -t 4 _ status _ <&3 && [ \"$status\" = 200 ]"]
ENTRYPOINT ["camelid"]
CMD ["--help"]
