// Archives: submitted by address or as an upload, then watched until they end.
import { fill, find, showFailure } from "./elements.js";
import { Card, isActive } from "./archive_card.js";
import { makeChooser } from "./models.js";
import { askJson, pause } from "./service.js";

const PAGE = 20;
const SHORTEST_S = 1.5; // between two looks
const LONGEST_S = 15; // where nothing changes
const HIDDEN_S = 60; // where nobody looks
const GROWTH = 1.4;

const form = find("archive-form");
const list = find("archive-list");
const status = find("archive-status");
const problem = find("archive-problem");
const cards = new Map();
let sending = null;
let next = null; // address of the next page of earlier archives
let wakeUp = () => {};

export const archiveChooser = makeChooser(
  find("archive-model"), find("archive-scale"), find("archive-model-facts"),
  (model) => {
    find("archive-uncertainty").disabled = !model?.gives_uncertainty;
    if (!model?.gives_uncertainty) find("archive-uncertainty").checked = false;
  },
);

const isUpload = () => find("archive-by-upload").checked;

function changeKind() {
  const upload = isUpload();
  find("archive-input-field").hidden = upload;
  find("archive-file-field").hidden = !upload;
  find("archive-input").required = find("archive-output").required = !upload;
  find("archive-file").required = upload;
  find("archive-output-note").textContent = upload
    ? "a folder for the products; without one they are kept here, to be downloaded"
    : "a folder for the products";
}

const OPTIONS = {
  uncertainty: "archive-uncertainty",
  consistency: "archive-consistency",
  project: "archive-project",
  other_bands: "archive-other-bands",
};

function wanted() {
  const options = Object.fromEntries(Object.entries(OPTIONS).map(([name, id]) => [name, find(id).checked]));
  const [licence, output] = ["archive-licence", "archive-output"].map((id) => find(id).value.trim());
  return {
    model: find("archive-model").value,
    scale: Number(find("archive-scale").value),
    seed: Number(find("archive-seed").value),
    options: { ...options, ...(licence && { licence }) },
    ...(output && { output }),
  };
}

function asForm(fields, file) {
  const data = new FormData();
  const { options, ...rest } = fields;
  for (const [name, value] of Object.entries({ ...rest, ...options })) data.append(name, value);
  data.append("archive", file); // last, so that all else is known when it comes
  return data;
}

function request() {
  if (isUpload()) return { body: asForm(wanted(), find("archive-file").files[0]), headers: {} };
  const input = find("archive-input").value.split("\n").map((line) => line.trim()).filter(Boolean);
  return { body: JSON.stringify({ input, ...wanted() }), headers: { "Content-Type": "application/json" } };
}

// The same for all tries of one submission, so that it becomes one archive.
function freshKey() {
  const numbers = crypto.getRandomValues(new Uint8Array(16));
  return [...numbers].map((each) => each.toString(16).padStart(2, "0")).join("");
}

async function submit(event) {
  event.preventDefault();
  if (sending) return;
  sending = new AbortController();
  setBusy(true);
  fill(problem);
  const { body, headers } = request();
  try {
    const archive = await askJson("/v1/archives", {
      method: "POST",
      headers: { ...headers, "Idempotency-Key": freshKey() },
      body,
      signal: sending.signal,
      waits: (left, tries) => { status.textContent = `The service is busy: try ${tries + 1} in ${left} s.`; },
      ...(isUpload() && { sends: (share) => { find("archive-sent").value = 100 * share; } }),
    });
    show([archive]);
    status.textContent = "Submitted.";
    wakeUp();
  } catch (error) {
    status.textContent = error.name === "AbortError" ? "Stopped." : "";
    if (error.name !== "AbortError") showFailure(problem, error);
  } finally {
    sending = null;
    setBusy(false);
  }
}

function setBusy(isBusy) {
  find("archive-send").disabled = isBusy;
  find("archive-stop").hidden = !isBusy;
  find("archive-sent").hidden = !(isBusy && isUpload());
  find("archive-sent").value = 0;
  if (isBusy) status.textContent = isUpload() ? "Sending …" : "Submitting …";
}

const actions = {
  failed: (failure) => showFailure(problem, failure),
  changed: (archive) => {
    show([archive]);
    wakeUp();
  },
};

// Newest first; what is there already is brought up to date in place, so that nothing loses the focus.
function show(archives) {
  let hasChanged = false;
  for (const archive of archives) {
    const known = cards.get(archive.id);
    if (known) {
      const before = known.archive;
      hasChanged ||= JSON.stringify(before) !== JSON.stringify(archive);
      known.update(archive);
      if (before.state !== archive.state) find("archive-news").textContent = `${known.title}: ${known.stateWords}`;
      continue;
    }
    hasChanged = true;
    const card = new Card(archive, actions);
    cards.set(archive.id, card);
    const isEarlier = (other) => other.id < archive.id; // ids sort by time
    const after = [...list.children].map((item) => cards.get(item.dataset.id)).find(isEarlier);
    list.insertBefore(card.element, after?.element ?? null);
  }
  find("archive-none").hidden = cards.size > 0;
  return hasChanged;
}

async function look() {
  const page = await askJson(`/v1/archives?limit=${PAGE}`, { isQuiet: true });
  const isFirst = cards.size === 0;
  const hasChanged = show(page.archives);
  if (isFirst) offerMore(page.next);
  const listed = new Set(page.archives.map((archive) => archive.id));
  for (const [id, card] of cards) {
    if (!listed.has(id) && isActive(card.archive)) show([await askJson(`/v1/archives/${id}`, { isQuiet: true })]);
  }
  return hasChanged;
}

function offerMore(address) {
  next = address;
  find("archive-more").hidden = !next;
}

async function more() {
  try {
    const page = await askJson(next);
    show(page.archives);
    offerMore(page.next);
  } catch (failure) {
    showFailure(problem, failure);
  }
}

// Looks often while something goes on, seldom where nothing changes, hardly ever where nobody looks.
async function watch() {
  let wait = SHORTEST_S;
  let hasFailed = false;
  for (;;) {
    try {
      const hasChanged = await look();
      const goesOn = [...cards.values()].some((card) => isActive(card.archive));
      wait = hasChanged ? SHORTEST_S : Math.min(wait * GROWTH, goesOn ? LONGEST_S / 3 : LONGEST_S);
      if (hasFailed) fill(problem);
      hasFailed = false;
    } catch (failure) {
      if (!hasFailed) showFailure(problem, failure);
      if (failure.status === 401) return; // whoever gives a key is shown archives again
      hasFailed = true;
      wait = Math.min(wait * GROWTH, LONGEST_S);
    }
    const awake = new AbortController();
    wakeUp = () => {
      wait = SHORTEST_S;
      awake.abort();
    };
    await pause(1000 * (document.hidden ? HIDDEN_S : wait), awake.signal).catch(() => {});
  }
}

let isWatching = false;
export async function watchArchives() {
  if (isWatching) return;
  isWatching = true;
  fill(problem);
  await watch();
  isWatching = false;
}

export function forgetArchives() {
  cards.clear();
  fill(list);
  find("archive-none").hidden = false;
  offerMore(null);
}

export function startArchives() {
  for (const id of ["archive-by-address", "archive-by-upload"]) find(id).addEventListener("change", changeKind);
  form.addEventListener("submit", submit);
  find("archive-stop").addEventListener("click", () => sending?.abort());
  find("archive-more").addEventListener("click", more);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) wakeUp(); });
  changeKind();
}
