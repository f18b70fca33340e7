// Requests to the service: with the key, once more where it is busy, and with failures in plain words.
import { askForKey, currentKey } from "./key.js";

const MOST_TRIES = 6;
const LONGEST_WAIT_S = 60;

export class Failure extends Error {
  constructor(problem, response = null) {
    super(problem.title);
    this.title = problem.title;
    this.detail = problem.detail ?? "";
    this.remedy = problem.remedy ?? "";
    this.status = problem.status ?? response?.status ?? 0;
    this.requestId = problem.request_id ?? response?.headers.get("X-Request-Id") ?? "";
  }
}

// The answer to a request that succeeded; others throw a Failure. `options` are those of fetch, and
// `waits(seconds, tries)`, told every second while a busy service is waited for;
// `sends(share)`, told how much of the body has gone out;
// `isQuiet`: whether it is nobody's wish of this moment: then a busy service is not waited for, nor a key asked for.
export async function ask(path, options = {}) {
  for (let tries = 1; ; tries += 1) {
    const asked = currentKey();
    const response = await send(path, options, asked);
    if (response.ok) return response;
    const failure = await failureOf(response);
    if (response.status === 401) {
      const isAlreadyOther = currentKey() !== null && currentKey() !== asked;
      if (isAlreadyOther || (!options.isQuiet && (await askForKey(failure.detail || failure.title)))) continue;
      throw failure;
    }
    const wait = waitOf(response);
    if (response.status !== 503 || wait === null || tries >= MOST_TRIES || options.isQuiet) throw failure;
    await countDown(Math.min(wait, LONGEST_WAIT_S), tries, options);
  }
}

export async function askJson(path, options = {}) {
  return (await ask(path, options)).json();
}

async function send(path, options, key) {
  const { waits, sends, isQuiet, ...rest } = options;
  const headers = { ...rest.headers, ...(key === null ? {} : { Authorization: `Bearer ${key}` }) };
  try {
    return sends ? await upload(path, { ...rest, headers }, sends) : await fetch(path, { ...rest, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure({
      title: "The service did not answer",
      detail: "It is not running, or cannot be reached from here.",
      remedy: "Try again in a moment.",
    });
  }
}

// As fetch, but tells how much has been sent, which fetch does not.
function upload(path, { method, headers, body, signal }, sends) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, path);
    request.responseType = "blob";
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => sends(event.loaded / event.total));
    request.addEventListener("error", () => reject(new TypeError("no answer")));
    request.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
    request.addEventListener("load", () => {
      const lines = request.getAllResponseHeaders().trim().split(/[\r\n]+/);
      const pairs = lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
      resolve(new Response(request.response, { status: request.status, headers: pairs }));
    });
    signal?.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

async function failureOf(response) {
  const isProblem = (response.headers.get("Content-Type") ?? "").includes("json");
  const problem = isProblem ? await response.json().catch(() => ({})) : {};
  const title = `The service answered ${response.status}`;
  return new Failure({ title, ...problem, status: response.status }, response);
}

// Seconds that a Retry-After asks for; null without one.
function waitOf(response) {
  const text = response.headers.get("Retry-After");
  if (text === null) return null;
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(1, Math.ceil(seconds)) : null;
}

async function countDown(seconds, tries, { waits, signal }) {
  for (let left = seconds; left > 0; left -= 1) {
    waits?.(left, tries);
    await pause(1000, signal);
  }
}

export function pause(milliseconds, signal = undefined) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
    if (signal?.aborted) reject(signal.reason);
  });
}

// Saves what an address gives. A plain link cannot carry the key, so that the page fetches the file where there is one.
export async function save(href, name) {
  const link = document.createElement("a");
  link.download = name;
  if (currentKey() === null) {
    link.href = href;
    link.click();
    return;
  }
  const address = URL.createObjectURL(await (await ask(href)).blob());
  link.href = address;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
