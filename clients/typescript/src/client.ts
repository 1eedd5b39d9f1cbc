/** The client: any operation of the description by its path, and short names for what is done most. */

import { growing, pause, sleep } from "./patience.js";
import { problemOf } from "./problem.js";
import type { components, paths } from "./schema.js";
import { frames } from "./sse.js";

export type NewTask = components["schemas"]["NewTask"];
export type TaskItem = components["schemas"]["TaskItem"];
export type TaskPage = components["schemas"]["TaskPage"];

const ATTEMPTS = 4;
const EVENT_STREAM = "text/event-stream";

type Method = "get" | "post" | "put" | "patch" | "delete";
type Operation<P extends keyof paths, M extends Method> = M extends keyof paths[P] ? paths[P][M] : never;
type MethodsOf<P extends keyof paths> = { [M in Method]: paths[P] extends { [K in M]: object } ? M : never }[Method];
type Having<O, K extends string> = O extends { parameters: infer A } ? (K extends keyof A ? A[K] : undefined) : undefined;
type Body<O> = O extends { requestBody: { content: { "application/json": infer B } } } ? B : undefined;
type Content<R> = R extends { content: infer C } ? (C extends { "application/json": infer B } ? B : C[keyof C]) : undefined;
type Good<R> = { [S in keyof R]: S extends 200 | 201 | 202 | 204 ? Content<R[S]> : never }[keyof R];
type Answer<O> = O extends { responses: infer R } ? Good<R> : never;
type Uses<K extends keyof any, V> = undefined extends V ? { [N in K]?: V } : { [N in K]: V };

/** What a call of one operation may, or must, say. */
export type Call<P extends keyof paths, M extends Method> = Uses<"path", Having<Operation<P, M>, "path">> &
  Uses<"query", Having<Operation<P, M>, "query">> &
  Uses<"header", Having<Operation<P, M>, "header">> &
  Uses<"body", Body<Operation<P, M>>> & { signal?: AbortSignal | undefined };

export interface Options {
  /** Where TaskHub is, such as `https://tasks.example.com`; a path before it is kept. */
  url: string;
  /** A token, or how to get one: it is asked for each request, so that it may be renewed. */
  token: string | (() => string | Promise<string>);
  /** Tries for one request, the first included; 4 when absent. A stream that has begun is always mended. */
  attempts?: number;
  fetch?: typeof fetch;
}

export type Filter = NonNullable<paths["/tasks"]["get"]["parameters"]["query"]>;
export type EventFilter = NonNullable<paths["/events"]["get"]["parameters"]["query"]>;

interface Creating {
  /** Made for you when absent: a create is always safe to repeat. */
  idempotencyKey?: string;
  /** Seconds to wait for the task's end before the answer. */
  waitSeconds?: number;
  signal?: AbortSignal;
}

/** What `watch` gives: an event, or `reset`, when what was missed cannot be told any more. */
export interface TaskEvent {
  event: string;
  /** To begin after, with `after`. */
  id: string | undefined;
  data: unknown;
}

export interface Watching {
  /** One task alone, until it has ended; else all that you may see. */
  task?: string;
  /** Only these, see `GET /events`; of one task there is nothing to choose. */
  query?: EventFilter;
  /** The id of the last event that you have. */
  after?: string;
  signal?: AbortSignal;
}

interface Sent {
  path?: Record<string, unknown> | undefined;
  query?: Record<string, unknown> | undefined;
  header?: Record<string, unknown> | undefined;
  body?: unknown;
  signal?: AbortSignal | undefined;
}

export class TaskHub {
  readonly #base: URL;
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
    this.#base = new URL(options.url.endsWith("/") ? options.url : `${options.url}/`);
  }

  /** Stores a new task; the answer comes when it is on disk. */
  create(task: NewTask, { idempotencyKey, waitSeconds, signal }: Creating = {}): Promise<TaskItem> {
    const header = {
      "Idempotency-Key": idempotencyKey ?? newKey(),
      ...(waitSeconds === undefined ? {} : { Prefer: `wait=${Math.ceil(waitSeconds)}` }),
    };
    return this.request("post", "/tasks", { body: task, header, signal });
  }

  /** One task; with `waitSeconds` once it has ended, or as it is then. */
  get(id: string, { waitSeconds, signal }: { waitSeconds?: number; signal?: AbortSignal } = {}): Promise<TaskItem> {
    const query = waitSeconds === undefined ? {} : { wait: waitSeconds };
    return this.request("get", "/tasks/{id}", { path: { id }, query, signal });
  }

  cancel(id: string): Promise<TaskItem> {
    return this.request("post", "/tasks/{id}/cancel", { path: { id } });
  }

  retry(id: string): Promise<TaskItem> {
    return this.request("post", "/tasks/{id}/retry", { path: { id } });
  }

  /** Every task that fits, newest first; the next page is fetched when it is needed. */
  async *list(filter: Filter = {}, signal?: AbortSignal): AsyncGenerator<TaskItem, void, undefined> {
    let cursor = filter.cursor;
    do {
      const query = cursor === undefined ? filter : { ...filter, cursor };
      const page: TaskPage = await this.request("get", "/tasks", { query, signal });
      yield* page.items;
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
  }

  /** What happens, as it happens; a broken connection is mended, and nothing is missed or told twice. */
  async *watch({ task, query, after, signal }: Watching = {}): AsyncGenerator<TaskEvent, void, undefined> {
    const path = task === undefined ? "events" : `tasks/${encodeURIComponent(task)}/events`;
    let last = after;
    let asked = 0;
    let wasThere = false;
    for (let tries = 0; !signal?.aborted; tries += 1) {
      let wait = growing(tries);
      try {
        const header = { Accept: EVENT_STREAM, ...(last === undefined ? {} : { "Last-Event-ID": last }) };
        const { body } = await this.#send("get", path, { query, header, signal });
        wasThere = true;
        for await (const { id, event, data, retry } of frames(body)) {
          tries = 0;
          last = id ?? last;
          asked = retry ?? asked;
          if (data !== undefined) yield { event, id, data: JSON.parse(data) };
          if (event === "end") return;
        }
      } catch (error) {
        if (signal?.aborted) return;
        const told = wasThere || this.#mayTry(tries) ? pause(error, tries, true) : undefined;
        if (told === undefined) throw error;
        wait = told;
      }
      await sleep(Math.max(wait, asked), signal).catch(() => undefined);
    }
  }

  /** Any operation of the description: its parameters, body and answer are known to the compiler. */
  async request<P extends keyof paths & string, M extends MethodsOf<P>>(
    method: M,
    path: P,
    call: Call<P, M>,
  ): Promise<Answer<Operation<P, M>>> {
    const sent: Sent = call;
    const filled = path.slice(1).replace(/{(\w+)}/g, (_, name: string) => encodeURIComponent(String(sent.path?.[name])));
    const isSafe = method !== "post" || sent.header?.["Idempotency-Key"] !== undefined;
    for (let tries = 0; ; tries += 1) {
      try {
        const answer = await this.#send(method, filled, sent);
        return (await read(answer)) as Answer<Operation<P, M>>;
      } catch (error) {
        const wait = this.#mayTry(tries) ? pause(error, tries, isSafe) : undefined;
        if (wait === undefined || sent.signal?.aborted) throw error;
        await sleep(wait, sent.signal);
      }
    }
  }

  #mayTry(tries: number): boolean {
    return tries + 1 < (this.#options.attempts ?? ATTEMPTS);
  }

  async #send(method: Method, path: string, { query, header, body, signal }: Sent): Promise<Response> {
    const url = new URL(path, this.#base);
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== undefined && value !== null) url.searchParams.append(name, String(value));
    }
    const { token, fetch: send = fetch } = this.#options;
    const headers = new Headers(header as Record<string, string> | undefined);
    headers.set("Authorization", `Bearer ${typeof token === "string" ? token : await token()}`);
    if (body !== undefined) headers.set("Content-Type", "application/json");
    const answer = await send(url, {
      method: method.toUpperCase(),
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    });
    if (!answer.ok) throw await problemOf(answer);
    return answer;
  }
}

async function read(answer: Response): Promise<unknown> {
  if (answer.status === 204) return undefined;
  const isJson = answer.headers.get("content-type")?.startsWith("application/json");
  return isJson ? answer.json() : answer.text();
}

/** Unlike any other; `crypto.randomUUID` is not there on pages of plain http, nor in Node.js 18. */
function newKey(): string {
  const random = () => Math.random().toString(36).slice(2);
  return `"${Date.now().toString(36)}-${random()}${random()}"`;
}
