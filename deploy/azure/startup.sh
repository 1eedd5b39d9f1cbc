#!/bin/sh
# App Service (Linux, Python): the start-up command of the web app, which is the API alone. It listens
# where the platform says, logs to stdout, and keeps nothing on the machine's disk but sockets.
set -eu
export Http__Host=0.0.0.0 Http__Port="${PORT:-8000}"
export Logs__Directory= Logs__Format=clef
export Supervisor__RuntimeDirectory="${TMPDIR:-/tmp}/taskhub-run"
exec taskhub run --unit api 2>&1
