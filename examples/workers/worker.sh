#!/bin/bash
# A worker for TaskHub in bash: it counts the words of a text. Needs curl, jq and setpriv (util-linux).
#   TASKHUB_URL=http://127.0.0.1:8080 TASKHUB_TOKEN=... examples/workers/worker.sh
set -eu
lease=${LEASE_SECONDS:-15} answer=$(mktemp) stopping=
trap 'rm -f "$answer"' EXIT
trap 'stopping=yes' TERM INT # the task in hand is finished first

say() { # METHOD PATH, the body on stdin: sets $status; asks again while TaskHub is away or busy
    local body && body=$(cat) # curl dies with this shell: it must not claim a task for nobody
    until status=$(exec setpriv --pdeathsig KILL curl -sS -o "${3:-$answer}" -w '%{http_code}' -X "$1" "$TASKHUB_URL/work/$2" \
        --config <(printf 'header = "Authorization: Bearer %s"\n' "$TASKHUB_TOKEN") \
        -H 'Content-Type: application/json' --data-binary @- <<<"$body") \
        && ((status < 500 && status != 429)); do sleep 1; done
}
count_words() { # the payload on stdin, the result on stdout
    local payload && payload=$(cat)
    sleep "$(jq -r '.seconds // 0' <<<"$payload")"
    jq -e '{words: (.text | [splits("\\s+") | select(. != "")] | length)}' <<<"$payload"
}
say PUT types <<<'{"types":[{"name":"count-words","timeoutSeconds":300}]}'
((status == 200)) || { cat "$answer" >&2 && exit 1; }
while [ -z "$stopping" ]; do
    say POST claim <<<"{\"types\":[\"count-words\"],\"worker\":\"bash\",\"leaseSeconds\":$lease,\"wait\":20}"
    ((status == 204)) && continue
    ((status == 200)) || { cat "$answer" >&2 && exit 1; }
    id=$(jq -r '.items[0].id' "$answer") token=$(jq '{lease: .items[0].lease}' "$answer")
    # Renews while this very shell lives: killed, it must not hold the task any longer.
    (while sleep "$((lease / 3))" && kill -0 $$; do
        say POST "$id/renew" /dev/null <<<"$(jq ".leaseSeconds = $lease" <<<"$token")"
    done) 2>/dev/null & renewing=$!
    if result=$(jq '.items[0].task.payload' "$answer" | count_words 2>&1); then
        ended=complete body=$(jq --argjson result "$result" '.result = $result' <<<"$token")
    else
        ended=fail body=$(jq --arg error "${result:-it went wrong}" '.error = $error' <<<"$token")
    fi
    kill "$renewing" 2>/dev/null || true
    say POST "$id/$ended" <<<"$body"
    echo "$id $ended $status" # 409: the lease was lost, and somebody else has the task
done
