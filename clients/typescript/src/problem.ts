/** Errors as values that TypeScript can tell apart by `type` (RFC 9457). */

import type { components } from "./schema.js";

type Schemas = components["schemas"];
type Named = Exclude<keyof Schemas & `${string}Problem`, never>;

/** Every error that the description names, as a union over `type`. */
export type Problem = Schemas[Named];
export type ProblemType = Problem["type"];

/** What the server said, or what stands in for it when something between us answered. */
export type Told = Schemas["ProblemBody"];

/** An answer that is an error. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";

  constructor(
    readonly problem: Told,
    /** Seconds after which another try makes sense, if the server said so. */
    readonly retryAfter: number | undefined,
  ) {
    super(`${problem.title}: ${problem.detail} (request ${problem.requestId})`);
  }

  get status(): number {
    return this.problem.status;
  }

  /** Whether it is this kind of error; the problem's type is then known. */
  is<T extends ProblemType>(type: T): this is ProblemError & { problem: Extract<Problem, { type: T }> } {
    return this.problem.type === type;
  }
}

/** The error that an answer stands for. */
export async function problemOf(answer: Response): Promise<ProblemError> {
  const isProblem = answer.headers.get("content-type")?.startsWith("application/problem+json") ?? false;
  const told = isProblem ? await answer.json().catch(() => undefined) : undefined;
  const requestId = answer.headers.get("x-request-id") ?? "";
  const plain: Told = {
    type: "about:blank",
    title: answer.statusText || `Status ${answer.status}`,
    status: answer.status,
    detail: "The answer did not come from TaskHub.",
    instance: "",
    requestId,
  };
  return new ProblemError((told as Told | undefined) ?? plain, seconds(answer.headers.get("retry-after")));
}

function seconds(text: string | null): number | undefined {
  if (text === null) return undefined;
  const told = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(told) ? Math.max(0, told) : undefined;
}
