/** A typed client of TaskHub. Every shape in it is made from the server's own description. */

export { TaskHub } from "./client.js";
export type { Call, EventFilter, Filter, Options, TaskEvent, TaskItem, NewTask, TaskPage, Watching } from "./client.js";
export { ProblemError } from "./problem.js";
export type { Problem, ProblemType } from "./problem.js";
export type { components, operations, paths } from "./schema.js";
