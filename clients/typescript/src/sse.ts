/** Reads `text/event-stream` (the HTML standard's event stream format). */

export interface Frame {
  id: string | undefined;
  event: string;
  /** Undefined where nothing is told: such a frame only moves the id along, or says `retry`. */
  data: string | undefined;
  /** Milliseconds before a client comes again. */
  retry: number | undefined;
}

/** The server says something each 15 seconds: who is silent for three times as long has gone. */
const SILENCE = 45_000;

/** The frames of a stream, as they come; comments are passed over. */
export async function* frames(
  body: ReadableStream<Uint8Array> | null,
  silence: number = SILENCE,
): AsyncGenerator<Frame, void, undefined> {
  let fields: Partial<Record<string, string>> = {};
  if (body === null) return;
  for await (const line of lines(body, silence)) {
    if (line === "") {
      const { id, event = "message", data, retry = "" } = fields;
      yield { id, event, data, retry: /^\d+$/.test(retry) ? Number(retry) : undefined };
      fields = {};
    } else if (!line.startsWith(":")) {
      const [, name = "", value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
      const before = fields[name];
      fields[name] = name === "data" && before !== undefined ? `${before}\n${value}` : value;
    }
  }
}

async function* lines(body: ReadableStream<Uint8Array>, silence: number): AsyncGenerator<string, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (let read = await heard(reader.read(), silence); !read.done; read = await heard(reader.read(), silence)) {
      const parts = (rest + decoder.decode(read.value, { stream: true })).split(/\r\n|\n|\r(?!$)/);
      rest = parts.pop() ?? "";
      yield* parts;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** What is read, or `fetch`'s own error for a broken connection where nothing comes. */
async function heard<T>(reading: Promise<T>, silence: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const gone = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TypeError("The stream has fallen silent.")), silence);
  });
  try {
    return await Promise.race([reading, gone]);
  } finally {
    clearTimeout(timer);
  }
}
