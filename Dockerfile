# greenbench in a container, as a user. docs/how-to/docker.md says how it is built and run, and what it needs for energy.
FROM python:3.12-slim

# A GPU: --build-arg TORCH=cu128, or another of torch's indexes (https://download.pytorch.org/whl).
ARG TORCH=cpu
# What else is installed: https://github.com/OWNER/greenbench/blob/main/docs/how-to/install.md
ARG EXTRAS=torch

RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir "torch>=2.9,<2.14" --index-url "https://download.pytorch.org/whl/${TORCH}"
COPY . /src
RUN pip install --no-cache-dir "/src[${EXTRAS}]"
RUN useradd --create-home --uid 1000 bench

USER bench
WORKDIR /work
ENTRYPOINT ["greenbench"]
CMD ["--help"]
