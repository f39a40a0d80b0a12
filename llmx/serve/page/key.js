// The key of the service: a dialog that asks for it, and a button that forgets it.

import { key } from "./api.js";
import { byId, h, shown } from "./dom.js";
import { button } from "./parts.js";

// Ask for a key; a promise of whether there is a new one.
export function wantKey(problem) {
  const field = h("input", { id: "key-field", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "key-said" });
  const said = h("p", { id: "key-said", class: "muted" }, told(problem));
  const dialog = h("dialog", { class: "card dialog", "aria-labelledby": "key-title" },
    h("h2", { id: "key-title", text: "This service asks for a key" }), said,
    h("form", { method: "dialog" }, h("label", { for: "key-field", text: "API key" }), field,
      h("p", { class: "muted", text: "It is kept in this tab until you close it, and sent to this service alone." }),
      h("div", { class: "actions" }, button("Not now", () => dialog.close()), h("button", { class: "primary", text: "Use this key" }))));
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (/^[\x21-\x7e]+$/.test(text)) return dialog.close(text);
    said.replaceChildren("A key is one word of ASCII, such as llmx_ and 43 letters, digits, - and _.");
    said.className = "wrong-text";
    field.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resume) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (dialog.returnValue) key.value = dialog.returnValue;
      drawKey();
      resume(dialog.returnValue !== "");
    });
  });
}

function told(problem) {
  if (key.value) return shown(("The key that was used is not taken" + (problem.detail ? ": " + problem.detail : "")).slice(0, 600));
  return "The operator makes one with llmx keys create NAME.";
}

export function drawKey() {
  byId("key").hidden = key.value === "";
  byId("key").textContent = "Forget the key";
}
