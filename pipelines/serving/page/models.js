// The models there are, and what each is good for.
import { facts, fill, make } from "./elements.js";
import { askJson } from "./service.js";

const STATES = { loading: "It is loading; the first answer may take a while.", failed: "It could not be loaded." };
let models = [];

const label = (model) => `${model.name}${model.is_default ? " (default)" : ""}`;

// Asks for the models and offers them in lists.
export async function loadModels(choosers) {
  ({ models } = await askJson("/v1/models"));
  for (const chooser of choosers) chooser.offer();
}

// A list of models with the scale that goes with it. `changed(model)` is told whatever is chosen.
export function makeChooser(select, scale, place, changed) {
  const chosen = () => models.find((model) => model.name === select.value) ?? null;
  const show = () => {
    const model = chosen();
    fill(place, ...(model ? describe(model) : []));
    if (model) limitScale(scale, model.scales);
    changed(model);
  };
  select.addEventListener("change", show);
  return {
    chosen,
    offer: () => {
      const before = select.value;
      fill(select, ...models.map((model) => make("option", { value: model.name }, label(model))));
      const usual = models.find((model) => model.is_default) ?? models[0];
      select.value = models.some((model) => model.name === before) ? before : (usual?.name ?? "");
      show();
    },
  };
}

export const isInterpolation = (model) => model.source === "bicubic";

function describe(model) {
  const nature = isInterpolation(model)
    ? "Interpolation: it adds no detail."
    : "Generative, not measured: its detail shows what may be there.";
  const rejected = model.rejected && `Version ${model.rejected.version} failed its test and is not used.`;
  return [
    make("p", { class: "nature" }, nature),
    STATES[model.state] ? make("p", { class: "nature warning" }, STATES[model.state]) : null,
    rejected ? make("p", { class: "nature warning" }, rejected) : null,
    make("dl", { class: "facts" }, ...facts({
      Scale: scaleWords(model.scales),
      Bands: model.bands?.length ? model.bands.join(", ") : "any",
      Licence: model.licence,
      Version: model.version === model.name ? null : model.version,
    })),
  ];
}

function scaleWords(scales) {
  if (!scales) return "any";
  return scales[0] === scales[1] ? `× ${scales[0]}` : `× ${scales[0]} to × ${scales[1]}`;
}

function limitScale(input, scales) {
  const [low, high] = scales ?? [1, null];
  input.min = low;
  input.max = high ?? "";
  input.readOnly = low === high;
  const value = Number(input.value);
  if (!(value >= low) || (high !== null && value > high)) input.value = high === null ? 4 : Math.min(Math.max(4, low), high);
}
