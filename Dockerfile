# The service only: no simulator, no embedded Postgres, no shell. It writes nowhere, so run it with
# `--read-only`. `compose.yaml` runs it with a Postgres and a mail catcher; `scripts/try-image` builds
# and tries the last stage without a container engine.

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
# Queries are checked against .sqlx: a build needs no database.
ENV SQLX_OFFLINE=true
COPY Cargo.toml Cargo.lock ./
COPY .sqlx .sqlx
COPY config config
COPY migrations migrations
COPY templates templates
COPY benches benches
# Cargo reads the manifest of every member of the workspace; none of them is built.
COPY crates crates
COPY src src
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --no-default-features \
    && cp target/release/capital-courier /capital-courier

# glibc, CA certificates and an unprivileged user (65532).
FROM gcr.io/distroless/cc-debian12:nonroot
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="capital-courier" \
    org.opencontainers.image.description="Emails Stripe Capital financing offers to the merchants of a Connect platform, and keeps evidence of it" \
    org.opencontainers.image.licenses="MIT OR Apache-2.0" \
    org.opencontainers.image.version="${VERSION}"
COPY --from=build /capital-courier /usr/local/bin/capital-courier
# The defaults listen on the loopback address, which is unreachable from outside of a container.
ENV COURIER_HTTP__LISTEN=0.0.0.0:8080 \
    COURIER_OPS__LISTEN=0.0.0.0:9090
EXPOSE 8080 9090
# By number, so that Kubernetes can verify `runAsNonRoot`.
USER 65532:65532
# A start waits up to 30 s for the database, and then migrates it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/usr/local/bin/capital-courier", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/capital-courier"]
CMD ["serve"]
