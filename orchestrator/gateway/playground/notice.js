/**
 * The bar that says what happened, and what to do.
 *
 * @typedef {{text: string, run: () => void}} NoticeAction
 */

import { element } from "./element.js";
import { t } from "./strings.js";

const STAYS_SECONDS = 6;

export class Notice {
  #root;
  /** @type {number|undefined} */
  #timer;

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#root = root;
  }

  /** Tell of an error until it is closed. */
  fail(/** @type {string} */ text, /** @type {string} */ advice, /** @type {NoticeAction[]} */ ...actions) {
    this.#show("alert", element("p", {}, element("b", { textContent: text }), ` ${advice}`), actions);
  }

  /** Tell of something that needs nothing, for a while. */
  say(/** @type {string} */ text) {
    this.#show("status", element("p", { textContent: text }), []);
    this.#timer = setTimeout(() => this.hide(), STAYS_SECONDS * 1000);
  }

  /**
   * Tell of a wait, and count it down.
   * @param {number} seconds
   * @param {(seconds: number) => string} text
   * @param {NoticeAction[]} actions
   */
  wait(seconds, text, ...actions) {
    const ends = performance.now() + seconds * 1000;
    const line = element("p", { textContent: text(Math.ceil(seconds)) });
    // Read once, not at every second.
    this.#show("status", line, actions);
    const count = () => {
      const left = Math.max(0, Math.ceil((ends - performance.now()) / 1000));
      line.setAttribute("aria-live", "off");
      line.textContent = text(left);
      if (left > 0) this.#timer = setTimeout(count, 1000);
    };
    this.#timer = setTimeout(count, 1000);
  }

  hide() {
    clearTimeout(this.#timer);
    this.#root.hidden = true;
    this.#root.replaceChildren();
  }

  #show(/** @type {"alert"|"status"} */ role, /** @type {HTMLElement} */ line, /** @type {NoticeAction[]} */ actions) {
    clearTimeout(this.#timer);
    const buttons = actions.map((action) => this.#button(action.text, action.run));
    const close = role === "alert" ? [this.#button(t("close"), () => {})] : [];
    this.#root.setAttribute("role", role);
    this.#root.dataset.kind = role;
    this.#root.replaceChildren(line, element("div", { className: "row" }, ...buttons, ...close));
    this.#root.hidden = false;
  }

  #button(/** @type {string} */ text, /** @type {() => void} */ run) {
    const button = element("button", { type: "button", className: "button small", textContent: text });
    button.addEventListener("click", () => {
      this.hide();
      run();
    });
    return button;
  }
}
