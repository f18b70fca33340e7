// One image: chosen or dropped, sent, and shown beside its result.
import { facts, fill, find, make, showFailure } from "./elements.js";
import { isInterpolation, makeChooser } from "./models.js";
import { decodePicture, paintAlike } from "./picture.js";
import { ask, Failure } from "./service.js";
import { showOverlay, showPictures } from "./viewer.js";
import { apart, bytes, duration, number } from "./words.js";
import { readZip } from "./zip.js";

const ENDINGS = { "image/png": "png", "image/jpeg": "jpg", "image/tiff": "tif", "application/zip": "zip" };
const TYPES = { png: "image/png", jpg: "image/jpeg", tif: "image/tiff" };

const form = find("image-form");
const file = find("image-file");
const status = find("image-status");
let input = null; // what is chosen: {file, picture: promise of how it looks}
let running = null; // the request under way
let links = []; // addresses of what can be downloaded

export const imageChooser = makeChooser(find("image-model"), find("image-scale"), find("image-model-facts"), (model) => {
  const isOffered = Boolean(model?.gives_uncertainty);
  find("image-uncertainty-field").hidden = !isOffered;
  if (!isOffered) find("image-uncertainty").checked = false;
  find("image-scale-note").textContent = find("image-scale").readOnly
    ? "times as many pixels along each side, as the model was made for"
    : "times as many pixels along each side";
});

async function choose() {
  const chosen = file.files[0];
  if (!chosen) return;
  stop();
  const current = (input = { file: chosen, picture: decodePicture(chosen) });
  find("image-name").textContent = `${chosen.name}, ${bytes(chosen.size)}`;
  find("image-drop").classList.add("full");
  find("image-result").hidden = true;
  fill(find("image-problem"));
  showOverlay(null);
  const picture = await current.picture;
  const words = await paintAlike([picture]);
  if (input !== current || !find("image-result").hidden) return; // another was chosen, or this one sent, meanwhile
  note(picture ? "" : "This browser cannot show this file. It can be sent all the same.");
  status.textContent = "";
  if (!picture) return;
  showPictures({
    before: null, after: picture.element, size: picture.size, caption: words,
    labels: { before: "", after: `${chosen.name}, ${sizeWords(picture.size)}` },
  });
}

function note(text) {
  find("image-note").hidden = !text;
  fill(find("image-note"), make("p", {}, text));
}

const sizeWords = ([width, height]) => `${width} × ${height}`;

function stop() {
  running?.abort();
}

async function send(event) {
  event.preventDefault();
  stop();
  const current = (running = new AbortController());
  const model = imageChooser.chosen();
  const wanted = { model: model.name, scale: find("image-scale").value, seed: find("image-seed").value };
  if (find("image-format").value) wanted.format = find("image-format").value;
  if (find("image-uncertainty").checked) wanted.uncertainty = "true";
  fill(find("image-problem"));
  setBusy(true);
  const clock = startClock();
  try {
    const response = await ask(`/v1/super-resolve?${new URLSearchParams(wanted)}`, {
      method: "POST",
      headers: { "Content-Type": input.file.type || "application/octet-stream" },
      body: input.file,
      signal: current.signal,
      waits: (left, tries) => clock.hold(`The service is busy: try ${tries + 1} in ${left} s.`),
    });
    const answer = await readAnswer(response);
    await show(answer, { ...wanted, model });
    status.textContent = `Done in ${duration(clock.seconds())}.`;
  } catch (error) {
    if (running !== current) return;
    status.textContent = error.name === "AbortError" ? "Stopped." : "";
    if (error.name !== "AbortError") showFailure(find("image-problem"), asFailure(error));
  } finally {
    clock.stop();
    if (running === current) {
      running = null;
      setBusy(false);
    }
  }
}

function asFailure(error) {
  if (error instanceof Failure) return error;
  return new Failure({ title: "The answer cannot be shown", detail: error.message, remedy: "Try again." });
}

function setBusy(isBusy) {
  find("image-send").disabled = isBusy;
  find("image-stop").hidden = !isBusy;
  form.setAttribute("aria-busy", isBusy);
}

// Says how long it has taken so far, unless something else is to be said.
function startClock() {
  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  let held = 0;
  status.textContent = "Super-resolving …";
  const timer = setInterval(() => {
    if (performance.now() > held) status.textContent = `Super-resolving … ${Math.floor(seconds())} s`;
  }, 5000); // each change is read out
  return {
    seconds,
    stop: () => clearInterval(timer),
    hold: (text) => {
      held = performance.now() + 1500;
      status.textContent = text;
    },
  };
}

// The image, and what came beside it.
async function readAnswer(response) {
  const kind = (response.headers.get("Content-Type") ?? "").split(";")[0];
  const body = await response.blob();
  const told = { response, all: null, image: body, ending: ENDINGS[kind] ?? "bin", uncertainty: null };
  if (told.ending !== "zip") return told;
  const members = readZip(await body.arrayBuffer());
  const name = [...members.keys()].find((each) => each.startsWith("sr."));
  if (!name) throw new Error("The answer holds no image.");
  const ending = name.slice(3);
  const part = (member, type) => new Blob([members.get(member)], { type });
  return {
    response,
    all: body,
    image: part(name, TYPES[ending] ?? ""),
    ending,
    uncertainty: {
      file: part("uncertainty.tif", TYPES.tif),
      picture: part("uncertainty.png", TYPES.png),
      about: JSON.parse(new TextDecoder().decode(members.get("about.json"))),
    },
  };
}

async function show(answer, wanted) {
  const sr = await decodePicture(answer.image);
  const lr = await input.picture;
  const words = await paintAlike([lr, sr]);
  if (sr) {
    showPictures({
      before: lr?.element ?? null, after: sr.element, size: sr.size, caption: words,
      labels: { before: lr ? `LR ${sizeWords(lr.size)}` : "LR", after: `SR ${sizeWords(sr.size)}` },
    });
  }
  note(sr ? (lr ? "" : "This browser cannot show the input: the result is shown alone.")
    : "This browser cannot show the result. It can be downloaded.");
  await showUncertainty(sr && answer.uncertainty);
  offer(answer, wanted);
  tell(answer, wanted, [lr, sr]);
  find("image-result").hidden = false;
}

async function showUncertainty(uncertainty) {
  const picture = uncertainty && (await decodePicture(uncertainty.picture));
  if (!picture) return showOverlay(null);
  const { unit } = uncertainty.about;
  const [low, high] = apart(uncertainty.about.low, uncertainty.about.high);
  return showOverlay({ picture: picture.element, low, high, unit });
}

function offer({ all, image, ending, uncertainty }, wanted) {
  links.forEach((each) => URL.revokeObjectURL(each));
  links = [];
  const stem = `${input.file.name.replace(/\.[^.]*$/, "")}_x${wanted.scale}`;
  const link = (blob, name, text) => {
    const href = URL.createObjectURL(blob);
    links.push(href);
    return make("li", {}, make("a", { href, download: name, class: "button" }, `${text} (${bytes(blob.size)})`));
  };
  fill(
    find("image-downloads"),
    link(image, `${stem}.${ending}`, `Download ${ending === "tif" ? "GeoTIFF" : ending.toUpperCase()}`),
    uncertainty && link(uncertainty.file, `${stem}_uncertainty.tif`, "Uncertainty as GeoTIFF"),
    all && link(all, `${stem}.zip`, "Both in a zip"),
  );
}

function tell({ response, uncertainty }, wanted, [lr, sr]) {
  const header = (name) => response.headers.get(name);
  const timing = /model;dur=([\d.]+)/.exec(header("Server-Timing") ?? "");
  const seams = header("X-Rssr-Seam-Score");
  const { model } = wanted;
  const version = header("X-Rssr-Model-Version");
  fill(find("image-facts"), ...facts({
    Model: version && version !== model.name ? `${model.name}, ${version}` : model.name,
    Detail: isInterpolation(model) ? "interpolated" : "generated, not measured",
    Size: sr && lr ? `${sizeWords(lr.size)} to ${sizeWords(sr.size)} pixels` : null,
    "Time in the model": timing ? duration(timing[1] / 1000) : null,
    "Seam score": seams && `${number(seams)} (1 where tiles do not show)`,
    Uncertainty: uncertainty && "half-width that holds 68 % of errors, by pixel",
    Request: header("X-Request-Id"),
  }));
}

// Files may be dropped anywhere on the page; whoever misses the field does not leave the page for it.
function takeDrops() {
  const drop = find("image-drop");
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.toggle("over", [...event.dataTransfer.types].includes("Files"));
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) drop.classList.remove("over");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length === 0) return;
    file.files = event.dataTransfer.files;
    choose();
  });
}

export function startImage() {
  file.addEventListener("change", choose);
  form.addEventListener("submit", send);
  find("image-stop").addEventListener("click", stop);
  takeDrops();
}
