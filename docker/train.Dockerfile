# syntax=docker/dockerfile:1
# Training as an image: mecam with the extras train and offline. No root; runs, stores and caches are in the volume /work.
#
#   docker build -f docker/train.Dockerfile -t mecam-train .
#   docker run -v "$PWD:/work" --user "$(id -u):$(id -g)" mecam-train train --data stores/mosi --out runs/mosi
#
# For GPUs, name the index of the wheels of PyTorch for your CUDA, and give the container the GPUs:
#
#   docker build -f docker/train.Dockerfile -t mecam-train:cuda \
#     --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .
#   docker run --gpus all --shm-size 2g … mecam-train:cuda train …

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=train,offline
WORKDIR /source
# PyTorch is the largest part by far and changes least: a layer of its own, which a change of mecam leaves as it is.
COPY constraints.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/mecam \
 && /opt/mecam/bin/python -m pip install --index-url "${TORCH_INDEX}" --constraint constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip wheel --no-deps --wheel-dir /wheels . \
 && wheel="$(ls /wheels/mecam-*.whl)" \
 && /opt/mecam/bin/python -m pip install --constraint constraints.txt "${wheel}[${EXTRAS}]" \
 && /opt/mecam/bin/python -m pip check

FROM python:${PYTHON}-slim
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /work --shell /usr/sbin/nologin mecam \
 && install --directory --owner mecam --group mecam /work
COPY --from=build /opt/mecam /opt/mecam
# All that is written is in /work: stores, runs, and what is fetched or kept for later. HOME is for whoever --user names.
ENV PATH=/opt/mecam/bin:$PATH HOME=/work XDG_CACHE_HOME=/work/.cache PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /work
VOLUME /work
STOPSIGNAL SIGINT
ENTRYPOINT ["mecam"]
CMD ["--help"]
