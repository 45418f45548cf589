# The images of OllamaFlow, one target each:
#   node                what `docker build .` makes: the balancer, alone in its image
#   simulated-backend   an inference server that answers at once, for trying things out and for tests
#   vip                 HAProxy with the configuration of the compose cluster
#
# Builds with the classic builder as well as with BuildKit. Where no registry can be reached, scripts/base-images
# makes the two base images first. Other ones serve as well if both have the same C library, and one has cargo and gcc
# (and make, or apt), the other apt. Stages that the classic builder leaves behind have a label:
# docker image prune --filter label=ollamaflow.stage=build
ARG BUILD_IMAGE=rust:1-slim-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

# === what cargo resolves: the manifests, and empty sources in the place of real ones ===
FROM ${BUILD_IMAGE} AS manifests
COPY . /source
RUN set -eu; cd /source; \
    find . -name '*.rs' -not -path '*/src/lib.rs' -not -path '*/src/main.rs' -not -path '*/src/bin/*' \
        -not -path '*/tests/*/main.rs' -delete; \
    find . -path '*/src/lib.rs' -exec truncate --size 0 {} +; \
    find . -name '*.rs' -not -path '*/src/lib.rs' | while read -r file; do echo 'fn main() {}' >"$file"; done; \
    find . -type f -not -name '*.rs' -not -name 'Cargo.*' -not -path './.cargo/*' -delete; \
    find . -type d -empty -delete
LABEL ollamaflow.stage=build

# === dependencies: a layer that stays until a manifest or the lock file changes ===
FROM ${BUILD_IMAGE} AS dependencies
# release, or dev for quick builds.
ARG PROFILE=release
# How many jobs cargo runs at once; as many as there are cores if empty.
ARG JOBS=
WORKDIR /source
COPY --from=manifests /source .
# Some Rust images have a compiler for C and no make, which the allocator's build needs.
RUN command -v make >/dev/null || \
    { apt-get update -qq && apt-get install -qq --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*; }
RUN cargo build --locked --profile "$PROFILE" ${JOBS:+--jobs "$JOBS"} --bin ollamaflow --bin simulated-backend
LABEL ollamaflow.stage=build

# === our own crates ===
FROM dependencies AS build
ARG PROFILE=release
ARG JOBS=
# What `ollamaflow_build_info` tells of the source.
ARG OLLAMAFLOW_REVISION=
COPY Cargo.toml Cargo.lock ./
COPY protocol protocol
COPY node node
COPY tests tests
# Files of the clone may be older than what was built of the empty ones; cargo goes by the time.
RUN find . -name '*.rs' -exec touch {} + && \
    cargo build --locked --profile "$PROFILE" ${JOBS:+--jobs "$JOBS"} --bin ollamaflow --bin simulated-backend && \
    built="target/$([ "$PROFILE" = dev ] && echo debug || echo "$PROFILE")" && \
    mkdir /out && cp "$built/ollamaflow" "$built/simulated-backend" /out/

# === root file systems with nothing but a program, the libraries it is linked with, certificates and a user ===
FROM ${RUNTIME_IMAGE} AS runtime
COPY --from=build /out /usr/local/bin
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
RUN set -eu; \
    for program in ollamaflow simulated-backend; do \
        root="/roots/$program"; \
        mkdir -p "$root/usr/bin" "$root/etc/ssl/certs" "$root/tmp"; \
        chmod 1777 "$root/tmp"; \
        cp "/usr/local/bin/$program" "$root/usr/bin/"; \
        ldd "/usr/local/bin/$program" | grep -o '/[^ ]*' | xargs cp --dereference --parents --target-directory "$root"; \
        cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"; \
        echo 'ollamaflow:x:10001:10001:OllamaFlow:/data:/nonexistent' >"$root/etc/passwd"; \
        echo 'ollamaflow:x:10001:' >"$root/etc/group"; \
        echo 'hosts: files dns' >"$root/etc/nsswitch.conf"; \
    done; \
    mkdir -p /roots/ollamaflow/etc/ollamaflow /roots/ollamaflow/data; \
    chown 10001:10001 /roots/ollamaflow/data; \
    chmod 0700 /roots/ollamaflow/data
LABEL ollamaflow.stage=build

# === target: the node ===
FROM scratch AS node
LABEL org.opencontainers.image.title="OllamaFlow" \
    org.opencontainers.image.description="A load balancer for Ollama and OpenAI-compatible inference servers" \
    org.opencontainers.image.source="https://github.com/ollamaflow/ollamaflow-rs" \
    org.opencontainers.image.licenses="MIT"
COPY --from=runtime /roots/ollamaflow /
# The settings file of a first run and everything that the node stores are below /data. The root file system may be
# read-only. A settings file of yours: mount it, and add --config.
ENV OLLAMAFLOW_WEBSERVER__HOSTNAME="*" OLLAMAFLOW_DATADIRECTORY=/data
WORKDIR /data
USER 10001:10001
VOLUME ["/data"]
EXPOSE 43411 43412
# Lets requests in flight finish, for up to 30 seconds: give `docker stop` more than its 10.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 CMD ["/usr/bin/ollamaflow", "healthcheck"]
ENTRYPOINT ["/usr/bin/ollamaflow"]
CMD ["serve"]

# === target: the simulated backend ===
FROM scratch AS simulated-backend
LABEL org.opencontainers.image.title="OllamaFlow's simulated backend"
COPY --from=runtime /roots/simulated-backend /
USER 10001:10001
EXPOSE 11434
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/simulated-backend", "--listen", "0.0.0.0:11434"]

# === target: the virtual IP of the compose cluster ===
FROM ${RUNTIME_IMAGE} AS vip
LABEL org.opencontainers.image.title="OllamaFlow's VIP"
RUN apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends haproxy && \
    rm -rf /var/lib/apt/lists/*
COPY scripts/compose.d/haproxy.cfg /etc/haproxy/haproxy.cfg
RUN haproxy -c -f /etc/haproxy/haproxy.cfg
USER haproxy
EXPOSE 43411
# Ends when the last request has.
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8404 && printf 'GET /healthy HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q '^HTTP/1.. 200' <&3"]
ENTRYPOINT ["haproxy", "-W", "-db", "-f", "/etc/haproxy/haproxy.cfg"]

# What `docker build .` makes without --target.
FROM node
