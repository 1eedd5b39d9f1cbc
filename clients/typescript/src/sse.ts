/** Reads `text/event-stream` (the HTML standard's event stream format). */

export interface Frame {
  id: string | undefined;
  event: string;
  data: string;
}

/** The frames of a stream, as they come; comments are passed over. */
export async function* frames(body: ReadableStream<Uint8Array>): AsyncGenerator<Frame, void, undefined> {
  let fields: Partial<Record<string, string>> = {};
  for await (const line of lines(body)) {
    if (line === "") {
      const { id, event = "message", data } = fields;
      if (data !== undefined) yield { id, event, data };
      fields = {};
    } else if (!line.startsWith(":")) {
      const [, name = "", value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
      const before = fields[name];
      fields[name] = name === "data" && before !== undefined ? `${before}\n${value}` : value;
    }
  }
}

async function* lines(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      const parts = (rest + decoder.decode(read.value, { stream: true })).split(/\r\n|\n|\r(?!$)/);
      rest = parts.pop() ?? "";
      yield* parts;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
