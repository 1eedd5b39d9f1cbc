/** What must compile, and what must not: the compiler is the test. */

import { ProblemError, TaskHub, type TaskItem } from "../src/index.js";

export async function uses(hub: TaskHub): Promise<void> {
  const made: TaskItem = await hub.create({ title: "x", payload: { any: ["json"] } });
  for await (const task of hub.list({ status: "Failed", limit: 10 })) void (task.maxAttempts satisfies number);
  const page = await hub.request("get", "/tasks", { query: { limit: 1 } });
  page.next satisfies string | null;
  // @ts-expect-error: a status that does not exist
  hub.list({ status: "Broken" });
  // @ts-expect-error: a title is needed
  await hub.create({ type: "simulate" });
  // @ts-expect-error: the path needs its id
  await hub.request("get", "/tasks/{id}", {});
  // @ts-expect-error: no such path
  await hub.request("get", "/nowhere", {});
  // @ts-expect-error: no such method there
  await hub.request("delete", "/tasks", {});
  await hub.cancel(made.id).catch((error: unknown) => {
    if (!(error instanceof ProblemError)) throw error;
    if (error.is("urn:taskhub:problem:conflict")) error.problem.status satisfies 409;
    // @ts-expect-error: no such error
    error.is("urn:taskhub:problem:nothing");
  });
}
