# Attune in a container: a server, a worker, or `attune up`. docs/operations.md tells how to use it.
#
#   docker build --build-arg VERSION="$(git describe --tags --always)" -t attune .
#   docker run --rm attune run core.echo message=hi
#
# Volumes: /var/lib/attune is the data directory, one for each server and worker. /var/lib/attune/artifacts is what
# actions have written; workers and servers may share it.

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /attune ./cmd/attune

FROM debian:bookworm-slim
# What actions need: bash, python3, and what they reach the world with. Add what yours need in an image of your own.
RUN apt-get update && \
    apt-get install -y --no-install-recommends bash bubblewrap ca-certificates python3 tzdata && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /attune /usr/local/bin/attune
# A new volume gets its owner and its mode from here.
RUN useradd --uid 10001 --user-group --home-dir /var/lib/attune --no-create-home attune && \
    install -d -m 711 -o attune -g attune /var/lib/attune /var/lib/attune/artifacts
ENV ATTUNE_DATA_DIR=/var/lib/attune
VOLUME /var/lib/attune
USER 10001:10001
# attune is the first process: it ends on SIGTERM, and reaps what its actions leave behind.
ENTRYPOINT ["attune"]
CMD ["up"]
