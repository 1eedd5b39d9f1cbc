/** When to try again, and how long to wait before. */

import { ProblemError } from "./problem.js";

const LONGEST = 60_000;

/** Milliseconds before the next try, or undefined where another one makes no sense. */
export function pause(error: unknown, tries: number, isSafe: boolean): number | undefined {
  if (error instanceof ProblemError) {
    const mayRepeat = error.status === 429 || (isSafe && [502, 503, 504].includes(error.status));
    return mayRepeat ? (error.retryAfter === undefined ? growing(tries) : within(error.retryAfter * 1000)) : undefined;
  }
  return isSafe && error instanceof TypeError ? growing(tries) : undefined; // fetch's word for a broken connection
}

/** A time that grows with each try; no two clients come back at once. */
export function growing(tries: number): number {
  return Math.min(LONGEST, 250 * 2 ** tries) * (0.5 + Math.random() / 2);
}

/** What the server asks for, and a little more, so that not everybody comes at once. */
function within(milliseconds: number): number | undefined {
  return milliseconds > LONGEST ? undefined : milliseconds + Math.random() * 250;
}

/** Waits, unless it is told to stop. */
export function sleep(milliseconds: number, signal?: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}
