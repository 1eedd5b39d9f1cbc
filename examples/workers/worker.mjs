// A worker for TaskHub in JavaScript: it counts the words of a text. Needs Node.js 18, no packages.
//   TASKHUB_URL=http://127.0.0.1:8080 TASKHUB_TOKEN=... node examples/workers/worker.mjs
import { setTimeout as sleep } from "node:timers/promises";

const { TASKHUB_URL: url, TASKHUB_TOKEN: secret, LEASE_SECONDS = "15" } = process.env;
const leaseSeconds = Number(LEASE_SECONDS);
let stopping = false;
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => (stopping = true));

/** Asks again while TaskHub is away or busy: outcomes may be said twice. */
async function say(method, path, body, signal) {
  const headers = { Authorization: `Bearer ${secret}`, "Content-Type": "application/json" };
  for (;;) {
    try {
      const sent = { method, headers, body: JSON.stringify(body), signal };
      const answer = await fetch(`${url}/work/${path}`, sent);
      const text = await answer.text();
      if (answer.status < 500 && answer.status !== 429)
        return { status: answer.status, text, json: text ? JSON.parse(text) : null };
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // what fetch throws when nobody answers
    }
    await sleep(1000);
  }
}

async function countWords({ text, seconds = 0 }, signal) {
  await sleep(seconds * 1000, null, { signal });
  return { words: text.split(/\s+/).filter(Boolean).length };
}

/** Renews a lease until the lease is lost or its task's cancel is wished: each answer waits for that. */
async function renewUntilOver(id, lease, signal) {
  const renewal = { lease, leaseSeconds, wait: leaseSeconds / 3 };
  for (let goesOn = true; goesOn; ) {
    const { status, json } = await say("POST", `${id}/renew`, renewal, signal);
    goesOn = status === 200 && !json.cancelRequested;
  }
}

/** Does the task, renewing its lease meanwhile. */
async function work({ id, lease, task }) {
  const stop = new AbortController();
  const abort = () => stop.abort();
  renewUntilOver(id, lease, stop.signal).then(abort, abort);
  let ended;
  try {
    ended = ["complete", { lease, result: await countWords(task.payload, stop.signal) }];
  } catch (error) {
    ended = ["fail", { lease, error: String(error) }];
  } finally {
    abort(); // the renewal as well
  }
  const { status } = await say("POST", `${id}/${ended[0]}`, ended[1]);
  console.log(id, ended[0], status); // 409: the lease was lost, and somebody else has the task
}

const known = await say("PUT", "types", { types: [{ name: "count-words", timeoutSeconds: 300 }] });
if (known.status !== 200) throw new Error(known.text);
while (!stopping) {
  const wish = { types: ["count-words"], worker: "node", leaseSeconds, wait: 20, limit: 1 };
  const { status, text, json } = await say("POST", "claim", wish);
  if (status === 200) await Promise.all(json.items.map(work));
  else if (status !== 204) throw new Error(text);
}
