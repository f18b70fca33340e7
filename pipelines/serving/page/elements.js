// Elements of the page: found by their ids, or made. Text is always text, never markup.
export const find = (id) => document.getElementById(id);

export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(key, value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

// Names and values, one a line; those without a value are left out.
export function facts(values) {
  return Object.entries(values)
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
}

// What failed, in plain words, with what to do and the id under which the log knows it; `again` may try once more.
export function showFailure(place, failure, again = null) {
  fill(
    place,
    make(
      "div",
      { class: "notice notice-error" },
      make("p", {}, make("strong", {}, failure.title)),
      failure.detail ? make("p", {}, failure.detail) : null,
      failure.remedy ? make("p", {}, failure.remedy) : null,
      failure.requestId ? make("p", { class: "caption" }, "Request ", make("code", {}, failure.requestId)) : null,
      again && make("button", { type: "button", click: () => { fill(place); again(); } }, "Try again"),
    ),
  );
}
