/**
 * The current branch's turns, kept up to date; it follows the text's end while the reader is there.
 *
 * @typedef {import("./conversation.js").Conversation} Conversation
 * @typedef {{edit: (turn: number, prompt: string, isFork: boolean) => void, again: (turn: number) => void,
 *   goOn: (turn: number) => void, point: (turn: number, token: number, at: HTMLElement) => void, leave: () => void,
 *   choose: (turn: number, token: number, at: HTMLElement, isByKey: boolean) => void}} ConversationListener
 */

import { branchOf, forksAt } from "./conversation.js";
import { TurnView } from "./turn_view.js";

const NEAR_END = 60; // pixels

export class ConversationView {
  #root;
  #scroll;
  #listener;
  /** @type {Map<number, TurnView>} by the turn's key */
  #views = new Map();
  /** @type {number[]} */
  #keys = [];

  /**
   * @param {HTMLElement} root
   * @param {HTMLElement} scroll what scrolls
   * @param {ConversationListener} listener
   */
  constructor(root, scroll, listener) {
    this.#root = root;
    this.#scroll = scroll;
    this.#listener = listener;
  }

  show(/** @type {Conversation} */ conversation, /** @type {boolean} */ isBusy) {
    const isAtEnd = this.#scroll.scrollTop + this.#scroll.clientHeight >= this.#scroll.scrollHeight - NEAR_END;
    const held = document.activeElement;
    const heldPlace = [...this.#root.children].findIndex((one) => one.contains(held));
    const { turns, number } = branchOf(conversation);
    this.#root.setAttribute("aria-busy", String(isBusy));
    this.#keys = turns.map((turn) => turn.key);
    this.#dropOthers();
    turns.forEach((turn, place) => {
      const view = this.#viewOf(turn.key, place);
      if (this.#root.children[place] !== view.element)
        this.#root.insertBefore(view.element, this.#root.children[place] ?? null);
      view.show(turn, forksAt(conversation, number, place), isBusy);
    });
    // Where the button that was pressed is no longer there, its turn's answer is what comes next.
    if (heldPlace >= 0 && !canHoldFocus(held))
      this.viewAt(Math.min(heldPlace, turns.length - 1))?.tokens.element.focus();
    if (isAtEnd) this.toEnd();
  }

  /** Write all texts again, in another language. */
  retell() {
    for (const view of this.#views.values()) view.retell();
  }

  toEnd() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  /** @returns {TurnView|undefined} */
  viewAt(/** @type {number} */ turn) {
    return this.#views.get(this.#keys[turn]);
  }

  #viewOf(/** @type {number} */ key, /** @type {number} */ place) {
    const known = this.#views.get(key);
    if (known) return known;
    const listener = this.#listener;
    const view = new TurnView(
      {
        edit: (prompt, isFork) => listener.edit(place, prompt, isFork),
        again: () => listener.again(place),
        goOn: () => listener.goOn(place),
      },
      {
        point: (index, at) => listener.point(place, index, at),
        leave: () => listener.leave(),
        choose: (index, at, isByKey) => listener.choose(place, index, at, isByKey),
      },
    );
    this.#views.set(key, view);
    return view;
  }

  #dropOthers() {
    for (const [key, view] of this.#views) {
      if (this.#keys.includes(key)) continue;
      view.element.remove();
      this.#views.delete(key);
    }
  }
}

function canHoldFocus(/** @type {Element|null} */ held) {
  return held?.isConnected && held.checkVisibility() && !held.matches(":disabled");
}
