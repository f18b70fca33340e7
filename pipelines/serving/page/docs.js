// The OpenAPI document as a page to read.
import { fill, find, make, showFailure } from "./elements.js";
import { askJson } from "./service.js";

const DEEPEST = 5; // levels of values within values
let described = {};

function resolve(schema) {
  const path = schema?.$ref?.replace(/^#\//, "").split("/");
  return path ? resolve(path.reduce((at, part) => at?.[part], described)) : (schema ?? {});
}

// A type in a few words, e.g. "number or null".
function typeWords(given) {
  const schema = resolve(given);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return [...new Set(choices.map(typeWords))].join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${typeWords(schema.items)}`;
  if (schema.contentMediaType || schema.format === "binary") return "bytes";
  return schema.format ? `${schema.type} (${schema.format})` : (schema.type ?? "anything");
}

function limitWords(given) {
  const schema = resolve(given);
  const known = { minimum: "≥", exclusiveMinimum: ">", maximum: "≤", exclusiveMaximum: "<", minLength: "length ≥", maxLength: "length ≤" };
  const isTold = ([name]) => name in schema && Math.abs(schema[name]) <= Number.MAX_SAFE_INTEGER;
  const limits = Object.entries(known).filter(isTold).map(([name, sign]) => `${sign} ${schema[name]}`);
  if (schema.default !== undefined && schema.default !== null) limits.push(`default ${JSON.stringify(schema.default)}`);
  return limits.join(", ");
}

function line(name, schema, isRequired, text) {
  return make("div", {},
    make("dt", {}, make("code", {}, name), isRequired ? " required" : ""),
    make("dd", {}, [typeWords(schema), limitWords(schema)].filter(Boolean).join(", "), text ? make("p", {}, text) : null));
}

// Names and types of a value's parts.
function parts(given, depth = 0) {
  const schema = resolve(given);
  const inner = schema.type === "array" ? resolve(schema.items)
    : resolve((schema.anyOf ?? []).find((choice) => resolve(choice).properties) ?? schema);
  if (depth >= DEEPEST || !inner.properties) return null;
  const list = make("dl", { class: "facts parts" });
  for (const [name, part] of Object.entries(inner.properties)) {
    const entry = line(name, part, inner.required?.includes(name), resolve(part).description);
    const within = parts(part, depth + 1);
    if (within) entry.lastChild.append(within);
    list.append(entry);
  }
  return list;
}

function contents(content) {
  return Object.entries(content ?? {}).map(([kind, { schema }]) =>
    make("div", { class: "body" }, make("p", {}, make("code", {}, kind), ` ${typeWords(schema)}`), parts(schema)));
}

function curl(method, path, operation) {
  const kinds = Object.keys(operation.requestBody?.content ?? {});
  const sent = kinds.includes("application/json") ? ` -H 'Content-Type: application/json' -d '{...}'`
    : kinds.length ? " --data-binary @image.tif -H 'Content-Type: image/tiff' -o sr.tif" : "";
  const way = method === "get" ? "" : ` -X ${method.toUpperCase()}`;
  return `curl${way} -H "Authorization: Bearer $KEY"${sent} "${location.origin}${path}"`;
}

function section(path, method, operation) {
  const id = `${method}${path}`.replace(/\W+/g, "-");
  const name = `${method.toUpperCase()} ${path}`;
  find("api-contents").append(make("li", {}, make("a", { href: `#${id}` }, make("code", {}, name)), " ", operation.summary ?? ""));
  const parameters = operation.parameters ?? [];
  const folded = (title, ...inside) => (inside.some(Boolean) ? make("details", {}, make("summary", {}, title), ...inside) : null);
  return make("section", { id, "aria-labelledby": `${id}-title` },
    make("h2", { id: `${id}-title` }, make("code", {}, name)),
    ...(operation.description ?? operation.summary ?? "").split(/\n\s*\n/).map((text) => make("p", {}, text)),
    make("pre", { tabindex: "0" }, curl(method, path, operation)),
    parameters.length ? make("h3", {}, "Parameters") : null,
    parameters.length ? make("dl", { class: "facts parts" }, ...parameters.map((each) =>
      line(`${each.name}${each.in === "query" ? "" : ` (${each.in})`}`, each.schema, each.required, each.description))) : null,
    folded("Body", ...contents(operation.requestBody?.content)),
    make("h3", {}, "Answers"),
    ...Object.entries(operation.responses ?? {}).map(([status, response]) =>
      make("div", { class: "answer" }, make("p", {}, make("code", {}, status), ` ${response.description ?? ""}`),
        folded("Content", ...contents(response.content)))));
}

async function start() {
  try {
    described = await askJson("/openapi.json");
  } catch (failure) {
    showFailure(find("api-problem"), failure, start);
    return;
  }
  const { title, version, summary, description } = described.info;
  document.title = find("api-title").textContent = `HTTP API of ${title}`;
  find("api-subtitle").textContent = `Version ${version}. ${summary ?? description ?? ""}`;
  const operations = Object.entries(described.paths).flatMap(([path, methods]) =>
    Object.entries(methods).filter(([, each]) => each.responses).map(([method, each]) => [path, method, each]));
  fill(find("api-operations"), ...operations.map((each) => section(...each)));
}

start();
