# One image for web, worker, beat and migrate; compose.yaml says which command runs where.
FROM python:3.11-slim

# git is the worktrees' engine, bubblewrap confines agents' Bash.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bubblewrap git \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 signalbox

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SIGNALBOX_HOME=/var/lib/signalbox
WORKDIR /srv/signalbox

COPY requirements.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes \
    --requirement requirements.lock

COPY . .
RUN install --directory --owner=signalbox --group=signalbox "$SIGNALBOX_HOME"
USER signalbox
VOLUME /var/lib/signalbox
EXPOSE 8000
CMD ["python", "-m", "uvicorn", "config.asgi:application", "--host", "0.0.0.0", \
     "--lifespan", "off", "--no-proxy-headers", "--no-access-log", \
     "--timeout-graceful-shutdown", "5"]
