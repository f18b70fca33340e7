// One archive as it is shown: how far it is, what can be done with it, and its products.
import { facts, fill, find, make } from "./elements.js";
import { currentKey } from "./key.js";
import { askJson, save } from "./service.js";
import { bytes, count, duration, moment, number, ordinal } from "./words.js";

const STATES = {
  queued: ["queued", "waiting"],
  running: ["running", "done"],
  cancelling: ["being cancelled", "partial"],
  completed: ["completed", "good"],
  completed_with_failures: ["completed, with failures", "marked"],
  failed: ["failed", "failed"],
  cancelled: ["cancelled", "waiting"],
};
const OUTCOMES = ["done", "marked", "partial", "failed", "refused"];
const ACTIVE = ["queued", "running", "cancelling"];
const PAGE = 50;

export const isActive = (archive) => ACTIVE.includes(archive.state);

export class Card {
  // `actions`: changed(archive) and failed(failure).
  constructor(archive, actions) {
    this.actions = actions;
    this.id = archive.id;
    this.state = make("span", { class: "state" });
    this.bar = make("progress", { max: 100, value: 0 });
    this.share = make("span", { class: "share" });
    this.line = make("p", { class: "caption" });
    this.problem = make("div");
    this.facts = make("dl", { class: "facts" });
    this.cancel = make("button", { type: "button", click: () => this.cancelIt() }, "Cancel");
    this.report = make("a", { class: "button", target: "_blank", rel: "noopener", click: (event) => this.openReport(event) }, "Report");
    this.items = make("ul", { class: "items" });
    this.moreItems = make("button", { type: "button", hidden: true, click: () => this.loadItems() }, "More products");
    this.fold = make("details", { toggle: () => this.fold.open && this.reloadItems() },
      make("summary", {}, "Products and failures"), this.items, this.moreItems);
    this.heading = make("h3", { id: `archive-${archive.id}` });
    this.element = make("li", { "data-id": archive.id, class: "archive", "aria-labelledby": this.heading.id },
      make("div", { class: "archive-head" }, this.heading, this.state),
      make("div", { class: "archive-bar" }, this.bar, this.share),
      this.line, this.problem, this.facts,
      make("div", { class: "actions" }, this.cancel, this.report),
      this.fold);
    this.update(archive);
  }

  get title() {
    const { input } = this.archive;
    if (input.length === 0) return "Uploaded images";
    const name = input[0].replace(/\/+$/, "").split("/").pop();
    return input.length > 1 ? `${name} and ${count(input.length - 1, "other")}` : name;
  }

  get stateWords() {
    return (STATES[this.archive.state] ?? [this.archive.state])[0];
  }

  update(archive) {
    const before = this.archive?.counts.scenes;
    this.archive = archive;
    this.heading.textContent = this.title;
    this.state.textContent = this.stateWords;
    this.state.className = `state state-${(STATES[archive.state] ?? ["", "waiting"])[1]}`;
    this.bar.value = archive.progress;
    this.bar.setAttribute("aria-label", `Progress of ${this.title}`);
    this.share.textContent = `${Math.floor(archive.progress)} %`;
    this.line.textContent = this.words().join(" · ");
    this.cancel.hidden = !["queued", "running"].includes(archive.state);
    this.cancel.setAttribute("aria-label", `Cancel ${this.title}`);
    this.report.hidden = !archive.state.startsWith("completed");
    this.report.href = archive.links.report;
    this.report.setAttribute("aria-label", `Report on ${this.title}`);
    this.tellFacts();
    this.tellProblem();
    const isNews = JSON.stringify(before) !== JSON.stringify(archive.counts.scenes);
    if (isNews && this.fold.open) this.reloadItems();
  }

  words() {
    const { state, queue_position: position, counts, mpx_per_s: rate, eta_s: eta, note } = this.archive;
    const { scenes, windows } = counts;
    const ended = OUTCOMES.filter((name) => scenes[name] > 0);
    return [
      state === "queued" && position ? `${ordinal(position)} in the queue` : null,
      scenes.total ? count(scenes.total, "scene") : null,
      ...ended.map((name) => `${scenes[name]} ${name}`),
      windows.total ? `${windows.done} of ${count(windows.total, "window")}` : null,
      windows.failed ? `${count(windows.failed, "window")} failed` : null,
      rate ? `${number(rate)} Mpx/s` : null,
      eta === null ? null : `about ${duration(eta)} left`,
      note,
    ].filter(Boolean);
  }

  tellFacts() {
    const { archive } = this;
    const shown = JSON.stringify([archive.started_at, archive.ended_at, archive.model_version]);
    if (shown === this.shownFacts) return; // so that a selection of text stays
    this.shownFacts = shown;
    const version = archive.model_version && archive.model_version !== archive.model ? `, ${archive.model_version}` : "";
    fill(this.facts, ...facts({
      Model: `${archive.model}${version}, × ${archive.scale}`,
      Submitted: moment(archive.created_at),
      Started: archive.started_at && moment(archive.started_at),
      Ended: archive.ended_at && moment(archive.ended_at),
      Input: archive.input.join(", "),
      Output: archive.output,
      Id: archive.id,
    }));
  }

  tellProblem() {
    const { problem } = this.archive;
    fill(this.problem, problem && make("div", { class: "notice notice-error" },
      make("p", {}, make("strong", {}, problem.title ?? "It failed")),
      problem.detail ? make("p", {}, problem.detail) : null,
      problem.remedy ? make("p", {}, problem.remedy) : null));
  }

  async cancelIt() {
    const isSure = await areYouSure(`Cancel ${this.title}?`, "Products that are finished stay.", "Cancel it");
    if (!isSure) return;
    try {
      this.actions.changed(await askJson(`/v1/archives/${this.id}`, { method: "DELETE" }));
    } catch (failure) {
      this.actions.failed(failure);
    }
  }

  // A link cannot carry the key: with one, the report is saved as a file.
  async openReport(event) {
    if (currentKey() === null) return;
    event.preventDefault();
    await this.take(this.report.href, `report_${this.id}.html`);
  }

  async take(href, name) {
    try {
      await save(href, name);
    } catch (failure) {
      this.actions.failed(failure);
    }
  }

  async reloadItems() {
    this.next = `/v1/archives/${this.id}/items?limit=${PAGE}`;
    await this.loadItems(true);
  }

  async loadItems(isFresh = false) {
    try {
      const page = await askJson(this.next);
      if (isFresh) fill(this.items);
      this.items.append(...page.items.map((item) => this.item(item)));
      if (this.items.children.length === 0) fill(this.items, make("li", { class: "empty" }, "None yet."));
      this.next = page.next;
      this.moreItems.hidden = !page.next;
    } catch (failure) {
      this.actions.failed(failure);
    }
  }

  item({ name, state, reason, seam_score: seams, files }) {
    const told = [reason, seams === null ? null : `seam score ${number(seams)}`].filter(Boolean);
    return make("li", {},
      make("span", { class: "item-name" }, name), " ",
      make("span", { class: `state state-${state}` }, state),
      told.length ? make("p", { class: "caption" }, told.join(" · ")) : null,
      files.length ? make("ul", { class: "files" }, ...files.map((file) => this.file(file))) : null);
  }

  file({ name, bytes: size, href, uri }) {
    const text = `${name.split("/").pop()} (${bytes(size)})`;
    if (!href) return make("li", {}, text, " ", make("code", {}, uri ?? ""));
    const click = (event) => {
      if (currentKey() === null) return;
      event.preventDefault();
      this.take(href, name.split("/").pop());
    };
    return make("li", {}, make("a", { href, download: name.split("/").pop(), click }, text));
  }
}

function areYouSure(title, text, yes) {
  const dialog = find("sure-dialog");
  find("sure-title").textContent = title;
  find("sure-text").textContent = text;
  find("sure-yes").textContent = yes;
  dialog.showModal();
  find("sure-no").focus();
  return new Promise((resolve) => {
    const done = new AbortController();
    const end = (isSure) => {
      done.abort();
      dialog.close();
      resolve(isSure);
    };
    find("sure-yes").addEventListener("click", () => end(true), { signal: done.signal });
    find("sure-no").addEventListener("click", () => end(false), { signal: done.signal });
    dialog.addEventListener("cancel", () => end(false), { signal: done.signal });
  });
}
