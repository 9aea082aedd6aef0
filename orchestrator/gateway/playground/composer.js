/** Where the reader writes: Enter sends, Shift+Enter begins a line. */

import { byId } from "./element.js";

const MOST_LINES_HEIGHT = 200; // pixels

export class Composer {
  #form = byId("composer");
  #box = /** @type {HTMLTextAreaElement} */ (byId("prompt"));
  #send = /** @type {HTMLButtonElement} */ (byId("send"));
  #stop = /** @type {HTMLButtonElement} */ (byId("stop"));

  /**
   * @param {(prompt: string) => boolean} sent returns whether it was taken; what was not stays in the box
   * @param {() => void} stopped
   */
  constructor(sent, stopped) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const prompt = this.#box.value.trim();
      if (!prompt || !sent(prompt)) return;
      this.#box.value = "";
      this.#fit();
    });
    this.#box.addEventListener("input", () => this.#fit());
    this.#box.addEventListener("keydown", (event) => {
      // An input method's Enter confirms its text.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      /** @type {HTMLFormElement} */ (this.#form).requestSubmit();
    });
    this.#stop.addEventListener("click", () => {
      stopped();
      this.focus();
    });
  }

  show(/** @type {boolean} */ isBusy) {
    this.#stop.hidden = !isBusy;
    this.#send.hidden = isBusy;
  }

  focus() {
    this.#box.focus();
  }

  write(/** @type {string} */ text) {
    this.#box.value = text;
    this.#fit();
    this.focus();
  }

  #fit() {
    this.#box.style.setProperty("height", "auto");
    this.#box.style.setProperty("height", `${Math.min(MOST_LINES_HEIGHT, this.#box.scrollHeight)}px`);
  }
}
