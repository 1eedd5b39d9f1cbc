// The client against a running TaskHub: TASKHUB_URL and TASKHUB_TOKEN say where.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";

import { ProblemError, TaskHub } from "../dist/index.js";
import { frames } from "../dist/sse.js";

const { TASKHUB_URL: url, TASKHUB_TOKEN: token } = process.env;
const hub = new TaskHub({ url, token });

test("a task is created, waited for, and found in pages", async () => {
  const made = [];
  for (let number = 0; number < 5; number += 1) made.push(await hub.create({ title: `page ${number}`, payload: { seconds: 0 } }));

  const ended = await hub.get(made[4].id, { waitSeconds: 50 });
  const found = [];
  for await (const task of hub.list({ limit: 2 })) found.push(task.id);

  assert.equal(ended.status, "Done");
  assert.deepEqual(found.slice(0, 5), made.map((task) => task.id).reverse());
});

test("the same key gives the same task", async () => {
  const creating = { idempotencyKey: `"${Date.now()}"` };
  const [one, two] = [await hub.create({ title: "once" }, creating), await hub.create({ title: "once" }, creating)];

  assert.equal(one.id, two.id);
});

test("a task that is not due yet is cancelled, and let begin anew", async () => {
  const made = await hub.create({ title: "later", delaySeconds: 3600 });

  assert.equal((await hub.cancel(made.id)).status, "Cancelled");
  assert.equal((await hub.retry(made.id)).status, "Pending");
});

test("an error is known by its type", async () => {
  await assert.rejects(hub.create({ title: "" }), (error) => {
    assert.ok(error instanceof ProblemError);
    assert.ok(error.is("urn:taskhub:problem:invalid"));
    assert.equal(error.problem.errors[0].pointer, "/title");
    return true;
  });
});

test("any operation can be called by its path", async () => {
  const actors = await hub.request("get", "/actors", {});

  assert.ok(actors.items.some((row) => row.name.endsWith("/pool")));
});

test("what happens to a task is watched until it ends", async () => {
  const task = await hub.create({ title: "watched", payload: { seconds: 0.1 } });
  const seen = [];
  for await (const { event } of hub.watch({ task: task.id })) seen.push(event);

  assert.deepEqual(seen.slice(0, 2), ["TaskCreated", "TaskStarted"]);
  assert.equal(seen.at(-1), "end");
});

/** A server that gives these answers, one after the other. */
async function scripted(answers, use) {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(request.headers);
    const [status, headers, body] = answers.shift();
    response.writeHead(status, headers).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await use(new TaskHub({ url: `http://127.0.0.1:${server.address().port}/under/path`, token: async () => "fresh" }));
  } finally {
    server.closeAllConnections();
    server.close();
  }
  return asked;
}

const BUSY = [503, { "Retry-After": "0", "Content-Type": "application/problem+json" }, '{"type":"urn:taskhub:problem:busy","status":503}'];
const JSON_TYPE = { "Content-Type": "application/json" };

test("a create that met a busy server is repeated under the same key", async () => {
  const asked = await scripted([BUSY, BUSY, [201, JSON_TYPE, '{"id":"x"}']], async (client) => {
    assert.equal((await client.create({ title: "x" })).id, "x");
  });

  assert.equal(new Set(asked.map((headers) => headers["idempotency-key"])).size, 1);
  assert.deepEqual(asked.map((headers) => headers.authorization), Array(3).fill("Bearer fresh"));
});

test("what might do a thing twice is not repeated", async () => {
  const asked = await scripted([BUSY], async (client) => {
    await assert.rejects(client.cancel("x"), { status: 503, retryAfter: 0 });
  });

  assert.equal(asked.length, 1);
});

test("an answer of somebody between is an error too", async () => {
  await scripted([[418, { "Content-Type": "text/html" }, "<h1>tea</h1>"]], async (client) => {
    await assert.rejects(client.get("x"), { status: 418 });
  });
});

test("a stream that breaks goes on after the last event", async () => {
  const stream = { "Content-Type": "text/event-stream" };
  const first = ': hello\n\nid: 7\nevent: TaskCreated\ndata: {"a":\ndata: 1}\n\nid: 8\nevent: Torn\ndata: {"a"';
  const asked = await scripted([[200, stream, first], [200, stream, "id: 8\r\nevent: end\r\ndata: {}\r\n\r\n"]], async (client) => {
    const seen = [];
    for await (const event of client.watch({ task: "x" })) seen.push(event);
    assert.deepEqual(seen, [{ event: "TaskCreated", id: "7", data: { a: 1 } }, { event: "end", id: "8", data: {} }]);
  });

  assert.deepEqual(asked.map((headers) => headers["last-event-id"]), [undefined, "7"]);
});

test("a beat moves the place along from which a stream goes on", async () => {
  const stream = { "Content-Type": "text/event-stream" };
  const asked = await scripted(
    [
      [200, stream, "retry: 1\n\n: beat\nid: 9\n\n"],
      BUSY,
      [200, stream, "event: end\ndata: {}\n\n"],
    ],
    async (client) => {
      for await (const event of client.watch({ task: "x" })) assert.equal(event.event, "end");
    },
  );

  assert.deepEqual(asked.map((headers) => headers["last-event-id"]), [undefined, "9", "9"]);
});

test("who may not watch is told, and so is who cannot reach it", async () => {
  const forbidden = [403, { "Content-Type": "application/problem+json" }, '{"type":"urn:taskhub:problem:forbidden","status":403}'];
  await scripted([forbidden], async (client) => {
    await assert.rejects(client.watch().next(), { status: 403 });
  });
  await assert.rejects(new TaskHub({ url: "http://127.0.0.1:1", token: "x", attempts: 2 }).watch().next(), TypeError);
});

test("a stream that has fallen silent is a broken one", async () => {
  const silent = new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode("retry: 7\n\n")) });
  const heard = frames(silent, 1);

  assert.equal((await heard.next()).value.retry, 7);
  await assert.rejects(heard.next(), TypeError);
});

test("an answer without a body is undefined", async () => {
  await scripted([[204, {}, ""]], async (client) => {
    assert.equal(await client.request("get", "/health", {}), undefined);
  });
});
