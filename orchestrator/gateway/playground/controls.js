/** The settings, as the form has them. */

import { byId } from "./element.js";
import { keepKey, keptKey } from "./preferences.js";
import { number, t } from "./strings.js";

export class Controls {
  #form = byId("settings");
  #fields = {
    length: /** @type {HTMLInputElement} */ (byId("length")),
    temperature: /** @type {HTMLInputElement} */ (byId("temperature")),
    topP: /** @type {HTMLInputElement} */ (byId("top-p")),
    maxTokens: /** @type {HTMLInputElement} */ (byId("max-tokens")),
    seed: /** @type {HTMLInputElement} */ (byId("seed")),
    system: /** @type {HTMLTextAreaElement} */ (byId("system")),
    key: /** @type {HTMLInputElement} */ (byId("key")),
  };

  /** @param {() => void} keyChanged is told when the API key is another one */
  constructor(keyChanged) {
    this.#fields.key.value = keptKey();
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#form.addEventListener("input", () => this.show());
    this.#fields.key.addEventListener("change", () => {
      keepKey(this.#fields.key.value.trim());
      keyChanged();
    });
    this.show();
  }

  get key() {
    return this.#fields.key.value.trim();
  }

  /** @returns {import("./call.js").Settings} */
  get settings() {
    const { length, temperature, topP, maxTokens, seed, system } = this.#fields;
    return {
      drafter: this.#drafter,
      numDraftTokens: length.value === "" ? null : wholeNumber(length, 1),
      temperature: Number(temperature.value),
      topP: Number(topP.value),
      maxTokens: wholeNumber(maxTokens, 256),
      seed: seed.value === "" ? null : wholeNumber(seed, 0),
      systemPrompt: system.value.trim(),
    };
  }

  /** Say how long proposals may be, and answers. */
  limit(/** @type {number|undefined} */ maxDraftTokens, /** @type {number|undefined} */ maxTokens) {
    if (maxDraftTokens) this.#fields.length.max = String(maxDraftTokens);
    if (maxTokens) this.#fields.maxTokens.max = String(maxTokens);
    this.show();
  }

  show() {
    const { length, temperature, topP } = this.#fields;
    length.disabled = this.#drafter === "none";
    byId("temperature-value").textContent = number(Number(temperature.value), 2);
    byId("top-p-value").textContent = number(Number(topP.value), 2);
    for (const slider of [temperature, topP]) {
      const part = (Number(slider.value) - Number(slider.min)) / (Number(slider.max) - Number(slider.min));
      slider.style.setProperty("--share", part.toFixed(4));
    }
  }

  get #drafter() {
    const chosen = this.#form.querySelector('input[name="drafter"]:checked');
    return /** @type {import("./call.js").Drafter} */ (/** @type {HTMLInputElement} */ (chosen).value);
  }
}

/** @returns {number} what a field holds, brought to what it allows */
function wholeNumber(/** @type {HTMLInputElement} */ field, /** @type {number} */ otherwise) {
  const value = Math.trunc(Number(field.value));
  if (field.value === "" || !Number.isFinite(value)) return otherwise;
  const most = field.max === "" ? Number.MAX_SAFE_INTEGER : Number(field.max);
  return Math.min(most, Math.max(Number(field.min), value));
}
