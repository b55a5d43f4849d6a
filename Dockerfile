# The server. By itself it runs the embedded model on the CPU; before another model, see compose.yaml.
#
#   docker build -t llmner .
#   docker run --rm -p 127.0.0.1:8080:8080 -v llmner-cache:/cache llmner
# Python's minor version is chosen; a rebuild takes its and Debian's security fixes. All packages are pinned.
FROM python:3.12-slim

# serve,openai is enough before an endpoint, and leaves torch out.
ARG EXTRAS=serve,openai,local
ARG TORCH_INDEX=

ENV PYTHONUNBUFFERED=1 \
    LLMNER_CACHE=/cache/llmner \
    HF_HOME=/cache/huggingface

WORKDIR /src
COPY pyproject.toml hatch_build.py constraints.txt README.md CHANGELOG.md LICENSE NOTICE ./
COPY licenses licenses
COPY prompts prompts
COPY llmner llmner
COPY scripts/install_server.sh scripts/install_server.sh
RUN EXTRAS="$EXTRAS" TORCH_INDEX="$TORCH_INDEX" PYTHON=python scripts/install_server.sh

RUN useradd --uid 10001 --create-home llmner && mkdir -p /cache && chown llmner /cache
USER llmner
WORKDIR /home/llmner
# The prepared model; without a volume it is prepared again in every container.
VOLUME /cache
EXPOSE 8080

# Whether it runs; /readyz says whether it can answer.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]

# SIGTERM lets it answer what it has begun. It answers to localhost; --allow-host NAME adds the name that others
# know it by, so that no page elsewhere can point its own name here.
ENTRYPOINT ["llmner", "serve", "--host", "0.0.0.0", "--port", "8080", "--allow-host", "localhost"]
