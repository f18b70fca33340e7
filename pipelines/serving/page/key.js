// The key of this service: asked for when it is needed, kept as long as the tab.
import { find } from "./elements.js";

export const KEY_GIVEN = "rssr-key-given";
const NAME = "rssr-key";
let kept = null; // where the browser keeps nothing for pages
let asking = null;

export function currentKey() {
  try {
    return sessionStorage.getItem(NAME) ?? kept;
  } catch {
    return kept;
  }
}

function keep(key) {
  kept = key;
  try {
    if (key === null) sessionStorage.removeItem(NAME);
    else sessionStorage.setItem(NAME, key);
  } catch {
    // Kept in this page alone.
  }
  find("key-state")?.toggleAttribute("hidden", key === null);
}

// Whether a key was given; requests that wait for one at the same time share one question.
export function askForKey(reason) {
  asking ??= question(reason).finally(() => { asking = null; });
  return asking;
}

function question(reason) {
  const dialog = find("key-dialog");
  const input = find("key-input");
  find("key-reason").textContent = reason;
  input.value = "";
  dialog.showModal();
  input.focus();
  return new Promise((resolve) => {
    const done = new AbortController();
    const end = (given) => {
      done.abort();
      dialog.close();
      resolve(given);
    };
    const listen = (element, event, then) => element.addEventListener(event, then, { signal: done.signal });
    listen(find("key-form"), "submit", (event) => {
      event.preventDefault();
      keep(input.value.trim());
      end(true);
      document.dispatchEvent(new Event(KEY_GIVEN));
    });
    listen(find("key-cancel"), "click", () => end(false));
    listen(dialog, "cancel", () => end(false));
  });
}

export function startKeys(forgotten) {
  keep(currentKey());
  find("key-forget")?.addEventListener("click", () => {
    keep(null);
    forgotten();
  });
}
