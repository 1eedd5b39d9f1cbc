// Reads {"promql": [...], "logql": [...]} and says which queries the languages' own parsers reject.
import { readFileSync } from "node:fs";
import { parser as promql } from "@prometheus-io/lezer-promql";
import { parser as logql } from "@grafana/lezer-logql";

const parsers = { promql, logql };
const asked = JSON.parse(readFileSync(0, "utf8"));
const wrong = [];
for (const [language, queries] of Object.entries(asked)) {
  for (const query of queries) {
    parsers[language].parse(query).iterate({
      enter: (node) => {
        if (node.type.isError) wrong.push({ language, query, at: node.from });
      },
    });
  }
}
console.log(JSON.stringify(wrong));
