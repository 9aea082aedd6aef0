/**
 * An answer's text: one inline element a token, so that text is never set anew, only longer. Colour and underline say
 * where a token came from.
 *
 * @typedef {import("./answer.js").Token} Token
 * @typedef {import("./answer.js").Answer} Answer
 * @typedef {{point: (index: number, at: HTMLElement) => void, leave: () => void,
 *   choose: (index: number, at: HTMLElement, isByKey: boolean) => void}} TokenListener
 */

import { CodeFence } from "./code_fence.js";
import { element } from "./element.js";
import { t } from "./strings.js";

/** Kinds of tokens, in the legend's order, with their texts. */
export const KINDS = /** @type {const} */ ([
  { kind: "accepted", name: "accepted", help: "acceptedHelp" },
  { kind: "recovered", name: "recovered", help: "recoveredHelp" },
  { kind: "bonus", name: "bonus", help: "bonusHelp" },
  { kind: "target", name: "target", help: "targetHelp" },
  { kind: "failover", name: "afterFailover", help: "afterFailoverHelp" },
  { kind: "replayed", name: "replayed", help: "replayedHelp" },
]);

/** @returns {string} the token's text with its blanks to be seen */
export function visible(/** @type {string} */ text) {
  return text.replaceAll("\n", "↵").replaceAll("\t", "⇥").replaceAll(" ", "␣");
}

export class TokenView {
  element = element("div", { className: "answer-text", role: "group", tabIndex: -1 });
  #listener;
  /** @type {Token[]} */
  #shown = [];
  #fence = new CodeFence();
  #current = 0; // the token that the Tab key comes to

  /** @param {TokenListener} listener */
  constructor(listener) {
    this.#listener = listener;
    this.element.addEventListener("pointerover", (event) => this.#pointed(event));
    this.element.addEventListener("pointerleave", () => listener.leave());
    this.element.addEventListener("focusin", (event) => this.#focused(event));
    this.element.addEventListener("focusout", () => listener.leave());
    this.element.addEventListener("click", (event) => this.#clicked(event));
    this.element.addEventListener("keydown", (event) => this.#pressed(event));
  }

  /**
   * @param {Answer} answer
   * @param {{number: number, token: number}[]} forks branches that part from the answer
   */
  show(answer, forks) {
    this.element.dataset.status = answer.status;
    this.element.setAttribute("aria-label", t("answer"));
    const numSame = numShared(this.#shown, answer.tokens);
    if (numSame < this.#shown.length) this.#cut(numSame);
    this.#shown = answer.tokens;
    const added = answer.tokens.slice(numSame).map((token, place) => this.#span(token, numSame + place));
    this.element.append(...added);
    this.#markForks(forks);
    this.#makeReachable(Math.min(this.#current, Math.max(0, this.#shown.length - 1)));
  }

  /** Mark the tokens of a round; null marks none. */
  markRound(/** @type {{firstToken: number, numTokens: number}|null} */ round) {
    for (const marked of this.element.querySelectorAll(".is-of-round")) marked.classList.remove("is-of-round");
    if (round === null) return;
    for (let index = round.firstToken; index < round.firstToken + round.numTokens; index++) {
      this.element.children[index]?.classList.add("is-of-round");
    }
  }

  /** Mark the token that the card tells of; null marks none. */
  markChosen(/** @type {number|null} */ index) {
    this.element.querySelector(".is-chosen")?.classList.remove("is-chosen");
    if (index !== null) this.element.children[index]?.classList.add("is-chosen");
  }

  focus(/** @type {number} */ index) {
    this.#makeReachable(index);
    /** @type {HTMLElement|undefined} */ (this.element.children[index])?.focus();
  }

  #span(/** @type {Token} */ token, /** @type {number} */ index) {
    const span = element("span", { className: "token", textContent: token.text, tabIndex: -1 });
    span.dataset.index = String(index);
    span.dataset.origin = token.origin;
    span.dataset.round = String(token.round);
    if (token.isAfterFailover) span.classList.add("is-after-failover");
    if (this.#fence.push(token.text)) span.classList.add("is-code");
    if (this.#beginsRound(index)) span.classList.add("begins-round");
    return span;
  }

  /** A round of one token needs no mark: where the target decodes alone, all are. */
  #beginsRound(/** @type {number} */ index) {
    const roundOf = (/** @type {number} */ place) => this.#shown[place]?.round;
    return index > 0 && roundOf(index - 1) !== roundOf(index) && roundOf(index) === roundOf(index + 1);
  }

  #cut(/** @type {number} */ num) {
    const gone = [...this.element.children].slice(num);
    for (const one of gone) one.remove();
    this.#fence = new CodeFence();
    for (const token of this.#shown.slice(0, num)) this.#fence.push(token.text);
  }

  #markForks(/** @type {{number: number, token: number}[]} */ forks) {
    for (const marked of this.element.querySelectorAll(".has-fork")) marked.classList.remove("has-fork");
    for (const fork of forks) this.element.children[fork.token - 1]?.classList.add("has-fork");
  }

  #makeReachable(/** @type {number} */ index) {
    this.element.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
    this.element.children[index]?.setAttribute("tabindex", "0");
    this.#current = index;
  }

  #pointed(/** @type {PointerEvent} */ event) {
    const index = indexOf(event.target);
    if (index !== null && event.pointerType !== "touch") this.#listener.point(index, this.#at(index));
  }

  #focused(/** @type {FocusEvent} */ event) {
    const index = indexOf(event.target);
    if (index === null) return;
    this.#makeReachable(index);
    this.#listener.point(index, this.#at(index));
  }

  #clicked(/** @type {MouseEvent} */ event) {
    const index = indexOf(event.target);
    // Who selects text wants to copy it.
    if (index !== null && getSelection()?.isCollapsed !== false) this.#listener.choose(index, this.#at(index), false);
  }

  #pressed(/** @type {KeyboardEvent} */ event) {
    const index = indexOf(event.target);
    if (index === null || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.#listener.choose(index, this.#at(index), true);
      return;
    }
    const next = this.#next(index, event.key);
    if (next === null) return;
    event.preventDefault();
    this.focus(next);
  }

  /** @returns {number|null} the token that a key leads to */
  #next(/** @type {number} */ index, /** @type {string} */ key) {
    switch (key) {
      case "ArrowRight":
        return this.#reachable(index + 1, 1);
      case "ArrowLeft":
        return this.#reachable(index - 1, -1);
      case "Home":
        return this.#reachable(0, 1);
      case "End":
        return this.#reachable(this.#shown.length - 1, -1);
      case "ArrowDown":
        return this.#onLine(index, 1);
      case "ArrowUp":
        return this.#onLine(index, -1);
      default:
        return null;
    }
  }

  /** @returns {number|null} the first token with text from an index on */
  #reachable(/** @type {number} */ index, /** @type {1|-1} */ step) {
    for (let place = index; place >= 0 && place < this.#shown.length; place += step) {
      if (this.#shown[place].text !== "") return place;
    }
    return null;
  }

  /** @returns {number|null} the nearest token on the next line with any */
  #onLine(/** @type {number} */ index, /** @type {1|-1} */ step) {
    const from = this.#at(index).getClientRects()[0];
    let best = null;
    let line = null;
    for (let place = index + step; place >= 0 && place < this.#shown.length; place += step) {
      const rect = this.#at(place).getClientRects()[0];
      if (!rect || Math.abs(rect.top - from.top) < rect.height / 2) continue;
      line ??= rect.top;
      if (Math.abs(rect.top - line) >= rect.height / 2) break;
      const distance = Math.abs(rect.left - from.left);
      if (best === null || distance < best.distance) best = { place, distance };
    }
    return best?.place ?? null;
  }

  #at(/** @type {number} */ index) {
    return /** @type {HTMLElement} */ (this.element.children[index]);
  }
}

/** @returns {number|null} */
function indexOf(/** @type {EventTarget|null} */ target) {
  const index = target instanceof HTMLElement ? target.dataset.index : undefined;
  return index === undefined ? null : Number(index);
}

/** @returns {number} how many tokens two texts begin with that are the same objects */
function numShared(/** @type {Token[]} */ some, /** @type {Token[]} */ others) {
  const most = Math.min(some.length, others.length);
  let num = 0;
  while (num < most && some[num] === others[num]) num++;
  return num;
}
