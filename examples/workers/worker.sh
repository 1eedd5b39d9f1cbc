#!/bin/bash
# Counts words for TaskHub. Needs TASKHUB_URL, TASKHUB_TOKEN; curl, jq, setpriv, setsid (util-linux).
set -euo pipefail
lease=${LEASE_SECONDS:-15} stopping=
trap 'stopping=yes' TERM INT # the task in hand is finished first
say() { # METHOD PATH BODY: sets $answer, $status; asks again while TaskHub is away or busy
    until answer=$(exec setpriv --pdeathsig KILL curl -sS -w '\n%{http_code}' -X "$1" \
        -H @<(echo "Authorization: Bearer $TASKHUB_TOKEN") -H 'Content-Type: application/json' \
        --data-binary @- "$TASKHUB_URL/work/$2" <<<"$3") && status=${answer##*$'\n'} \
        && answer=${answer%$'\n'*} && ((status < 500 && status != 429)); do sleep 1; done
}
count='(.seconds // 0), {words: (.text | [splits("\\s+") | select(. != "")] | length)}'
work="jq '$count' | { read -r seconds && sleep \$seconds && cat; }" # payload in, result out
say PUT types '{"types": [{"name": "count-words", "timeoutSeconds": 300}]}'
while [ -z "$stopping" ]; do
    say POST claim "{\"types\": [\"count-words\"], \"leaseSeconds\": $lease, \"wait\": 20}"
    ((status == 200)) || { ((status == 204)) && continue; echo "$answer" >&2; exit 1; }
    id=$(jq -r '.items[0].id' <<<"$answer") held=$(jq '{lease: .items[0].lease}' <<<"$answer")
    payload=$(jq '.items[0].task.payload' <<<"$answer")
    exec 3< <(exec setsid bash -o pipefail -c "$work" <<<"$payload" 2>&1) && working=$!
    # Renews while this very shell lives: killed, it must not hold the task any longer.
    (while kill -0 $$ && say POST "$id/renew" "$(jq ".leaseSeconds = $lease | .wait = $lease / 3" \
        <<<"$held")" && ((status == 200)) && [[ $answer != *'"cancelRequested":true'* ]]; do :; done
    kill -- -$working) 2>/dev/null & renewing=$!
    set -- complete result && result=$(cat <&3) && wait $working \
        || { set -- fail error && result=$(jq -Rs . <<<"$result"); }
    kill $renewing 2>/dev/null || :
    say POST "$id/$1" "$(jq -s ".[0] + {$2: .[1]}" <<<"$held $result")"
    echo "$id $1 $status" # 409: the lease was lost, and somebody else has the task
done
