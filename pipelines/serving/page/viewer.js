// Two pictures of the same place over one another: a divider between them, zoom, and an overlay on the second.
import { find } from "./elements.js";

const MOST_ZOOM = 32; // screen pixels for one of SR
const STEP = 1.5; // of one press of a button or a key
const PAN_STEP = 0.1; // of the view
const DIVIDER_STEPS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10 };
const PANS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const WHEEL_LINE = 16;

const stage = find("stage");
const divider = find("divider");
const handle = find("divider-handle");
const layers = { before: stage.querySelector(".layer-before"), after: stage.querySelector(".layer-after") };

// The place in the middle of the view, and how large it is shown: all in pixels of SR.
const view = { width: 1, height: 1, x: 0.5, y: 0.5, zoom: 1, isFitted: true, isShown: false };
let names = { before: "LR", after: "SR" };

function frame() {
  return { width: stage.clientWidth, height: stage.clientHeight };
}

function fitZoom() {
  const { width, height } = frame();
  return Math.min(width / view.width, height / view.height);
}

function within(value, low, high) {
  return low > high ? (low + high) / 2 : Math.min(Math.max(value, low), high);
}

function draw() {
  if (!view.isShown) return;
  const { width, height } = frame();
  if (view.isFitted) view.zoom = fitZoom();
  const halves = [width / view.zoom / 2, height / view.zoom / 2];
  view.x = within(view.x, halves[0], view.width - halves[0]);
  view.y = within(view.y, halves[1], view.height - halves[1]);
  const [left, top] = [width / 2 - view.x * view.zoom, height / 2 - view.y * view.zoom];
  stage.style.setProperty("--moved", `translate(${left}px, ${top}px) scale(${view.zoom})`);
  stage.classList.toggle("movable", !view.isFitted);
  find("zoom-level").value = `${Math.round(view.zoom * 100)} %`;
  find("zoom-out").disabled = view.isFitted;
  find("zoom-in").disabled = view.zoom >= MOST_ZOOM;
}

function drawDivider() {
  stage.style.setProperty("--position", `${divider.value}%`);
  divider.setAttribute("aria-valuetext", `${Math.round(divider.value)} % ${names.before}`);
}

// Zoom so that the point of the view under `at` stays where it is.
function zoomBy(factor, at = null) {
  const { width, height } = frame();
  const fit = fitZoom();
  const zoom = Math.min(Math.max(view.zoom * factor, fit), Math.max(MOST_ZOOM, fit));
  const [x, y] = at ?? [width / 2, height / 2];
  view.x += (x - width / 2) * (1 / view.zoom - 1 / zoom);
  view.y += (y - height / 2) * (1 / view.zoom - 1 / zoom);
  view.zoom = zoom;
  view.isFitted = zoom <= fit * 1.001;
  draw();
}

function panBy(x, y) {
  view.x += x / view.zoom;
  view.y += y / view.zoom;
  draw();
}

function fit() {
  view.isFitted = true;
  draw();
}

function inStage(event) {
  const box = stage.getBoundingClientRect();
  return [event.clientX - box.left - stage.clientLeft, event.clientY - box.top - stage.clientTop];
}

stage.addEventListener("keydown", (event) => {
  if (!view.isShown || event.ctrlKey || event.metaKey || event.altKey) return;
  const { width, height } = frame();
  if (event.key === "+" || event.key === "=") zoomBy(STEP);
  else if (event.key === "-" || event.key === "_") zoomBy(1 / STEP);
  else if (event.key === "0") fit();
  else if (event.key in PANS && !view.isFitted) {
    panBy(PANS[event.key][0] * PAN_STEP * width, PANS[event.key][1] * PAN_STEP * height);
  } else return; // what the browser does with the key, e.g. scrolling
  event.preventDefault();
});

stage.addEventListener("wheel", (event) => {
  const isNoChange = event.deltaY > 0 && view.isFitted;
  if (!view.isShown || isNoChange) return; // the page scrolls
  event.preventDefault();
  const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? WHEEL_LINE : 1;
  zoomBy(Math.exp(-event.deltaY * lines * 0.002), inStage(event));
}, { passive: false });

// One pointer moves the divider or the picture, two pinch it.
const pointers = new Map();
let isDividing = false;

stage.addEventListener("pointerdown", (event) => {
  if (!view.isShown || (event.pointerType === "mouse" && event.button !== 0)) return;
  if (pointers.size === 0) isDividing = event.target === handle;
  pointers.set(event.pointerId, inStage(event));
  stage.setPointerCapture(event.pointerId);
});

stage.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (before === undefined) return;
  const now = inStage(event);
  if (pointers.size === 2) pinch(event.pointerId, before, now);
  else if (isDividing) {
    divider.value = (100 * now[0]) / frame().width;
    drawDivider();
  } else if (!view.isFitted) panBy(before[0] - now[0], before[1] - now[1]);
  pointers.set(event.pointerId, now);
});

function pinch(id, before, now) {
  const [, other] = [...pointers].find(([each]) => each !== id);
  const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
  zoomBy(apart(now) / Math.max(apart(before), 1), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
  panBy((before[0] - now[0]) / 2, (before[1] - now[1]) / 2);
}

for (const name of ["pointerup", "pointercancel"]) {
  stage.addEventListener(name, (event) => pointers.delete(event.pointerId));
}

divider.addEventListener("input", drawDivider);
divider.addEventListener("keydown", (event) => {
  if (!(event.key in DIVIDER_STEPS)) return;
  event.preventDefault();
  divider.value = Number(divider.value) + DIVIDER_STEPS[event.key];
  drawDivider();
});
find("zoom-in").addEventListener("click", () => zoomBy(STEP));
find("zoom-out").addEventListener("click", () => zoomBy(1 / STEP));
find("zoom-fit").addEventListener("click", fit);
find("zoom-full").addEventListener("click", () => zoomBy(1 / view.zoom));
find("squares").addEventListener("change", (event) => stage.classList.toggle("squares", event.target.checked));
find("overlay-shown").addEventListener("change", (event) => stage.classList.toggle("bare", !event.target.checked));
find("overlay-opacity").addEventListener("input", (event) => {
  stage.style.setProperty("--opacity", event.target.value / 100);
});
new ResizeObserver(draw).observe(stage);

function put(layer, picture, name) {
  layer.querySelectorAll(".picture").forEach((each) => each.remove());
  if (picture === null) return;
  picture.classList.add("picture");
  if (picture instanceof HTMLImageElement) picture.alt = name;
  else {
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", name);
  }
  layer.prepend(picture);
}

// Shows pictures (img or canvas elements); where there is but one of them, there is no divider.
// `size` is that of SR: [width, height]. Where it changes, all of it is shown again.
export function showPictures({ before, after, size, caption, labels }) {
  names = labels;
  const isOther = !view.isShown || size[0] !== view.width || size[1] !== view.height;
  Object.assign(view, { width: size[0], height: size[1], isShown: true, isFitted: isOther || view.isFitted });
  put(layers.before, before, labels.before);
  put(layers.after, after, labels.after);
  find("tag-before").textContent = before ? labels.before : "";
  find("tag-after").textContent = after ? labels.after : "";
  stage.style.setProperty("--picture-width", `${size[0]}px`);
  stage.style.setProperty("--picture-height", `${size[1]}px`);
  stage.style.aspectRatio = `${size[0]} / ${size[1]}`;
  stage.classList.toggle("single", !before || !after);
  stage.setAttribute("aria-label", [before && labels.before, after && labels.after].filter(Boolean).join(" and "));
  handle.hidden = divider.disabled = !before || !after;
  find("tools").hidden = false;
  find("stage-hint").hidden = true;
  find("viewer-caption").textContent = caption;
  divider.setAttribute("aria-label", `Divider between ${labels.before} and ${labels.after}`);
  drawDivider();
  draw();
}

// A picture over the second one, with what its colours mean; null takes it away.
export function showOverlay(overlay) {
  layers.after.querySelector(".overlay")?.remove();
  find("overlay-tools").hidden = overlay === null;
  if (overlay === null) return;
  overlay.picture.classList.add("overlay");
  overlay.picture.alt = "Uncertainty";
  layers.after.append(overlay.picture);
  find("overlay-low").textContent = `± ${overlay.low}`;
  find("overlay-high").textContent = `± ${overlay.high} ${overlay.unit}`;
}
