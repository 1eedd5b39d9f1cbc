#!/bin/sh
# A continuous WebJob: one worker. WebJobs ask for an end by a file, not by a signal; the worker then
# drains, within `stopping_wait_time` of settings.job.
set -eu
export Logs__Directory= Logs__Format=clef
export Supervisor__RuntimeDirectory="${TMPDIR:-/tmp}/taskhub-run"
taskhub run --unit worker 2>&1 &
worker=$!
trap 'kill -TERM "$worker"' TERM INT
until [ -e "${WEBJOBS_SHUTDOWN_FILE:-/nowhere}" ] || ! kill -0 "$worker" 2>/dev/null; do
    sleep 1
done
kill -TERM "$worker" 2>/dev/null || true
wait "$worker"
