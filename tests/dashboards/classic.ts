// Grafana's own type of a dashboard, as JSON can be: an enumeration is the text that it stands for.
import type { Dashboard } from "@grafana/schema";

type Plain<T> = T extends string
  ? `${T}`
  : T extends (infer Item)[]
    ? Plain<Item>[]
    : T extends object
      ? { [Key in keyof T]: Plain<T[Key]> }
      : T;

export type Classic = Plain<Dashboard>;
