# `mecam serve` as a small image: no build tools, no root, and it works with a root file system that cannot be written.
#
#   docker build -t mecam .
#   docker run -p 127.0.0.1:8000:8000 -e MECAM_TOKEN=… -v mecam:/data --read-only --cap-drop ALL mecam

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && python -m venv /opt/mecam \
 && wheel="$(ls /wheels/mecam-*.whl)" \
 && /opt/mecam/bin/python -m pip install --no-cache-dir "${wheel}[serve]" \
 && /opt/mecam/bin/python -m pip uninstall --yes pip \
 && /opt/mecam/bin/python -m compileall -q /opt/mecam/lib

FROM python:${PYTHON}-slim
RUN python -m pip uninstall --yes pip \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin mecam \
 && install --directory --owner mecam --group mecam --mode 0700 /data
COPY --from=build /opt/mecam /opt/mecam
# All that is ever written is in /data: jobs, uploads, results, speech models that are fetched, and temporary files.
ENV PATH=/opt/mecam/bin:$PATH HOME=/data TMPDIR=/data PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["mecam", "serve", "--host", "0.0.0.0", "--data", "/data"]
