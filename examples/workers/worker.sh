#!/bin/bash
# Counts words for TaskHub. Needs TASKHUB_URL, TASKHUB_TOKEN; curl, jq and setpriv (util-linux).
set -euo pipefail
lease=${LEASE_SECONDS:-15} stopping=
trap 'stopping=yes' TERM INT # the task in hand is finished first
say() { # METHOD PATH BODY: sets $answer, $status; asks again while TaskHub is away or busy
    until answer=$(exec setpriv --pdeathsig KILL curl -sS -w '\n%{http_code}' -X "$1" \
        -H @<(echo "Authorization: Bearer $TASKHUB_TOKEN") -H 'Content-Type: application/json' \
        --data-binary @- "$TASKHUB_URL/work/$2" <<<"$3") && status=${answer##*$'\n'} \
        && answer=${answer%$'\n'*} && ((status < 500 && status != 429)); do sleep 1; done
}
count_words() { # the payload on stdin, the result on stdout
    jq '(.seconds // 0), {words: (.text | [splits("\\s+") | select(. != "")] | length)}' \
        | { read -r seconds && sleep "$seconds" && cat; }
}
say PUT types '{"types": [{"name": "count-words", "timeoutSeconds": 300}]}'
while [ -z "$stopping" ]; do
    say POST claim "{\"types\": [\"count-words\"], \"leaseSeconds\": $lease, \"wait\": 20}"
    ((status == 204)) && continue
    ((status == 200)) || { echo "$answer" >&2 && exit 1; }
    id=$(jq -r '.items[0].id' <<<"$answer") held=$(jq '{lease: .items[0].lease}' <<<"$answer")
    # Renews while this very shell lives: killed, it must not hold the task any longer.
    (while sleep $((lease / 3)) && kill -0 $$; do
        say POST "$id/renew" "$(jq ".leaseSeconds = $lease" <<<"$held")"
    done) 2>/dev/null & renewing=$!
    set -- complete result && result=$(jq '.items[0].task.payload' <<<"$answer" | count_words 2>&1) \
        || { set -- fail error && result=$(jq -Rs . <<<"$result"); }
    kill $renewing && say POST "$id/$1" "$(jq -s ".[0] + {$2: .[1]}" <<<"$held $result")"
    echo "$id $1 $status" # 409: the lease was lost, and somebody else has the task
done
