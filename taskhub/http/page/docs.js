// Shows the description of this very server, and sends what the reader wants to try. Text is only ever set as text.

const METHODS = ["get", "post", "put", "patch", "delete"];
const at = (id) => document.getElementById(id);

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== ""));
  return made;
}

/** Text whose `code` is code, and whose empty lines part paragraphs. */
function prose(text = "") {
  return text.split(/\n\s*\n/).map((part) =>
    el("p", {}, part.split("`").map((piece, index) => (index % 2 ? el("code", {}, piece) : piece))));
}

const pretty = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
const named = (reference) => reference.split("/").pop();
const link = (name) => el("a", { href: `#schema-${name}` }, name);

/** One schema in a few words, with links to those that have a name. */
function words(schema) {
  if (schema === undefined || Object.keys(schema).length === 0) return ["anything"];
  if (schema.$ref) return [link(named(schema.$ref))];
  const ways = schema.anyOf ?? schema.oneOf;
  if (ways) return ways.flatMap((way, index) => (index ? [" or ", ...words(way)] : words(way)));
  if ("const" in schema) return [el("code", {}, String(schema.const))];
  if (schema.enum) return [schema.enum.map(String).join(" | ")];
  if (schema.type === "array") return ["list of ", ...words(schema.items)];
  return [[schema.type, schema.format].filter(Boolean).join(", ")];
}

function limits(schema) {
  const told = ["minimum", "maximum", "minLength", "maxLength", "pattern", "default"];
  return told.filter((name) => name in schema).map((name) => `${name} ${JSON.stringify(schema[name])}`).join(", ");
}

function members(schema) {
  const needed = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, inner]) =>
    el("tr", {},
      el("td", {}, el("code", {}, name), needed.has(name) ? "" : el("span", { class: "soft" }, " optional")),
      el("td", {}, words(inner), el("div", { class: "soft" }, inner.description ?? ""), el("div", { class: "soft" }, limits(inner)))));
  return rows.length ? [el("table", {}, el("tbody", {}, rows))] : [];
}

function parameters(operation) {
  const rows = (operation.parameters ?? []).map((one) =>
    el("tr", {},
      el("td", {}, el("code", {}, one.name), el("span", { class: "soft" }, ` ${one.in}${one.required ? "" : ", optional"}`)),
      el("td", {}, prose(one.description), el("div", { class: "soft" }, words(one.schema), " ", limits(one.schema)))));
  return rows.length ? [el("h3", {}, "Parameters"), el("table", {}, el("tbody", {}, rows))] : [];
}

function examples(content) {
  if ("example" in content) return [["", content.example]];
  return Object.entries(content.examples ?? {}).map(([name, one]) => [one.summary ?? name, one.value]);
}

function body(content) {
  return Object.entries(content ?? {}).flatMap(([type, media]) => [
    el("p", {}, el("code", {}, type), " ", words(media.schema)),
    examples(media).map(([name, value]) => [name ? el("p", { class: "soft" }, name) : "", el("pre", { tabindex: 0 }, pretty(value))]).flat(),
  ].flat());
}

function answers(operation) {
  return [el("h3", {}, "Answers"), ...Object.entries(operation.responses).map(([status, answer]) =>
    el("details", {}, el("summary", {}, el("strong", {}, status), " ", el("span", {}, answer.description)),
      body(answer.content),
      Object.entries(answer.headers ?? {}).map(([name, header]) =>
        el("p", {}, el("code", {}, name), " ", el("span", { class: "soft" }, header.description ?? "")))))];
}

function request(form, path, method, operation) {
  const headers = {};
  const query = new URLSearchParams();
  let filled = path;
  for (const one of operation.parameters ?? []) {
    const value = form.elements[`${one.in}:${one.name}`].value;
    if (one.in === "path") filled = filled.replace(`{${one.name}}`, encodeURIComponent(value));
    else if (value && one.in === "query") query.append(one.name, value);
    else if (value && one.in === "header") headers[one.name] = value;
  }
  const token = at("token").value.trim();
  if (token && operation.security?.length) headers.Authorization = `Bearer ${token}`;
  const text = form.elements.body?.value;
  if (text !== undefined) headers["Content-Type"] = "application/json";
  const url = new URL(filled.slice(1) + (query.size ? `?${query}` : ""), document.baseURI);
  return { url, method: method.toUpperCase(), headers, body: text };
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The same request for a shell; the token stays out of it. */
function curl({ url, method, headers, body: text }) {
  const fields = Object.entries(headers).map(([name, value]) =>
    name === "Authorization" ? '-H "Authorization: Bearer $TASKHUB_TOKEN"' : `-H ${quoted(`${name}: ${value}`)}`);
  const data = text === undefined ? [] : ["--data-raw", quoted(text)];
  return ["curl", "-sS", "-X", method, quoted(url.href), ...fields, ...data].join(" ");
}

async function send(made, output, signal) {
  const answer = await fetch(made.url, { ...made, signal, credentials: "omit", cache: "no-store" });
  const fields = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  output.textContent = `${answer.status} ${answer.statusText}\n${fields}\n\n`;
  if (!answer.headers.get("content-type")?.startsWith("text/event-stream")) {
    const text = await answer.text();
    try { output.textContent += pretty(JSON.parse(text)); } catch { output.textContent += text; }
    return;
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) output.textContent += read.value;
}

function trial(path, method, operation) {
  const output = el("pre", { "aria-live": "polite", tabindex: 0, hidden: true });
  const fields = (operation.parameters ?? []).map((one) =>
    el("label", {}, one.name, el("input", {
      name: `${one.in}:${one.name}`, value: one.required ? one.example : "", placeholder: one.required ? "" : String(one.example ?? ""), required: one.required, autocomplete: "off",
    })));
  const [media] = Object.values(operation.requestBody?.content ?? {});
  const text = media && el("textarea", { name: "body", "aria-label": "Body", spellcheck: "false" }, pretty(examples(media)[0]?.[1] ?? {}));
  let running;
  const form = el("form", {
    onsubmit: async (event) => {
      event.preventDefault();
      running?.abort();
      running = new AbortController();
      output.hidden = false;
      output.textContent = "…";
      try { await send(request(form, path, method, operation), output, running.signal); } catch (error) { output.textContent += `\n${error}`; }
    },
  }, el("h3", {}, "Try it"), fields, text, el("button", {}, "Send"),
  el("button", { type: "button", onclick: () => running?.abort() }, "Stop"),
  el("button", { type: "button", onclick: () => { output.hidden = false; output.textContent = curl(request(form, path, method, operation)); } }, "As curl"), output);
  return form;
}

/** What is inside is made when it is opened for the first time. */
function folded(id, summary, make) {
  const made = el("details", { id }, el("summary", {}, summary));
  made.addEventListener("toggle", () => { if (made.open) made.append(...make().flat(9)); }, { once: true });
  return made;
}

function operationCard(path, method, operation) {
  const title = [el("span", { class: `method ${method}` }, method.toUpperCase()), el("code", {}, path), " ", el("span", {}, operation.summary)];
  const card = folded(operation.operationId, title, () => [
    prose(operation.description), parameters(operation),
    operation.requestBody ? [el("h3", {}, "Body"), body(operation.requestBody.content)] : [],
    answers(operation), trial(path, method, operation)]);
  card.dataset.words = `${method} ${path} ${operation.summary} ${operation.operationId}`.toLowerCase();
  return card;
}

function all(paths) {
  return Object.entries(paths).flatMap(([path, item]) =>
    METHODS.filter((method) => method in item).map((method) => [path, method, item[method]]));
}

function show(told) {
  at("version").textContent = told.info.version;
  const operations = all(told.paths);
  const main = [...prose(told.info.description)];
  for (const tag of told.tags) {
    const own = operations.filter(([, , operation]) => operation.tags.includes(tag.name));
    main.push(el("section", {}, el("h2", {}, tag.name), prose(tag.description), own.map((one) => operationCard(...one))));
    at("nav").append(el("h2", {}, tag.name), ...own.map(([path, method, operation]) =>
      el("a", { href: `#${operation.operationId}` }, el("span", { class: `method ${method}` }, method.toUpperCase()), path)));
  }
  const hooks = Object.values(told.webhooks ?? {}).map(({ post }) =>
    folded(post.operationId, [el("code", {}, post.operationId), " ", el("span", {}, post.summary)], () => [prose(post.description), parameters(post), body(post.requestBody.content)]));
  if (hooks.length) main.push(el("section", {}, el("h2", {}, "messages"), prose("What TaskHub tells others by itself."), hooks));
  const schemas = Object.entries(told.components.schemas).map(([name, schema]) =>
    folded(`schema-${name}`, [el("code", {}, name), " ", el("span", {}, schema.description ?? "")], () => [
      (schema.allOf ?? []).map((part) => el("p", {}, "as ", words(part), ", and")), members(schema), el("pre", { tabindex: 0 }, pretty(schema))]));
  main.push(el("section", {}, el("h2", {}, "shapes"), schemas));
  at("main").replaceChildren(...main);
}

function reveal() {
  const target = at(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName !== "DETAILS") return;
  target.open = true;
  target.scrollIntoView();
  target.querySelector("summary").focus({ preventScroll: true });
}

function filter() {
  const wanted = at("filter").value.trim().toLowerCase();
  for (const card of document.querySelectorAll("details[data-words]")) card.hidden = !card.dataset.words.includes(wanted);
  for (const entry of at("nav").querySelectorAll("a")) entry.hidden = at(entry.hash.slice(1)).hidden;
}

at("filter").addEventListener("input", filter);
addEventListener("hashchange", reveal);
addEventListener("keydown", (event) => {
  if (event.key !== "/" || /^(INPUT|TEXTAREA)$/.test(event.target.tagName)) return;
  event.preventDefault();
  at("filter").focus();
});

try {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  show(await answer.json());
  reveal();
} catch (error) {
  at("state").textContent = `The description could not be read: ${error.message}`;
}
