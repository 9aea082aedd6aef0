/**
 * One turn: the message, the answer, and what was measured.
 *
 * @typedef {import("./conversation.js").Turn} Turn
 * @typedef {{edit: (prompt: string, isFork: boolean) => void, again: () => void, goOn: () => void}} TurnActions
 */

import { textOf } from "./answer.js";
import { element } from "./element.js";
import { speedOf } from "./speed.js";
import { number, percent, t } from "./strings.js";
import { TokenView } from "./token_view.js";

export class TurnView {
  element = element("article", { className: "turn" });
  #actions;
  #head = element("header", { className: "prompt" });
  #foot = element("footer", { className: "turn-foot" });
  /** @type {Turn|null} */
  #turn = null;
  #isEditing = false;
  #footKey = "";
  #headKey = "";

  /**
   * @param {TurnActions} actions
   * @param {import("./token_view.js").TokenListener} listener
   */
  constructor(actions, listener) {
    this.#actions = actions;
    this.tokens = new TokenView(listener);
    this.element.append(this.#head, this.tokens.element, this.#foot);
  }

  /**
   * @param {Turn} turn
   * @param {{number: number, token: number}[]} forks
   * @param {boolean} isBusy no other answer can be begun now
   */
  show(turn, forks, isBusy) {
    this.#turn = turn;
    this.tokens.show(turn.answer, forks);
    this.#showHead(turn, isBusy);
    this.#showFoot(turn, isBusy);
  }

  /** Write all texts again, in another language. */
  retell() {
    this.#headKey = this.#footKey = "";
  }

  #showHead(/** @type {Turn} */ turn, /** @type {boolean} */ isBusy) {
    const key = `${turn.prompt}\n${isBusy}`;
    if (this.#isEditing || key === this.#headKey) return;
    this.#headKey = key;
    const edit = element("button", {
      type: "button",
      className: "button quiet small",
      textContent: t("edit"),
      title: t("editHelp"),
      disabled: isBusy,
    });
    edit.addEventListener("click", () => this.#edit(turn.prompt));
    this.#head.replaceChildren(
      element("h3", { className: "who", textContent: t("you") }),
      element("div", { className: "prompt-text", textContent: turn.prompt }),
      edit,
    );
  }

  #edit(/** @type {string} */ prompt) {
    this.#isEditing = true;
    const box = element("textarea", {
      value: prompt,
      rows: Math.min(8, prompt.split("\n").length + 1),
      "aria-label": t("message"),
    });
    const close = () => {
      this.#isEditing = false;
      this.#headKey = "";
      if (this.#turn) this.#showHead(this.#turn, false);
      this.#head.querySelector("button")?.focus();
    };
    const send = (/** @type {boolean} */ isFork) => {
      close();
      if (box.value.trim()) this.#actions.edit(box.value, isFork);
    };
    const rewind = element("button", {
      type: "button",
      className: "button primary small",
      textContent: t("rewindSend"),
    });
    rewind.addEventListener("click", () => send(false));
    const fork = element("button", { type: "button", className: "button small", textContent: t("forkSend") });
    fork.addEventListener("click", () => send(true));
    const cancel = element("button", { type: "button", className: "button quiet small", textContent: t("cancel") });
    cancel.addEventListener("click", close);
    box.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        if (!event.isComposing) close(); // an input method's Escape drops its text
      } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        send(false);
      }
    });
    this.#head.replaceChildren(
      element("h3", { className: "who", textContent: t("you") }),
      element("div", { className: "prompt-edit" }, box, element("div", { className: "row" }, rewind, fork, cancel)),
    );
    box.focus();
  }

  #showFoot(/** @type {Turn} */ turn, /** @type {boolean} */ isBusy) {
    const { answer } = turn;
    const isRunning = answer.status === "waiting" || answer.status === "streaming";
    const key = isRunning ? "running" : `${answer.status} ${answer.tokens.length} ${answer.summary !== null} ${isBusy}`;
    if (key === this.#footKey) return;
    this.#footKey = key;
    this.#foot.hidden = isRunning;
    if (!isRunning) this.#foot.replaceChildren(facts(turn), this.#buttons(turn, isBusy));
  }

  #buttons(/** @type {Turn} */ turn, /** @type {boolean} */ isBusy) {
    const { answer } = turn;
    const row = element("div", { className: "row" });
    const isWhole = answer.status === "finished" && answer.finishReason !== "length";
    if (!isWhole && answer.points.length > 0)
      row.append(this.#button(t("continueAnswer"), "", isBusy, () => this.#actions.goOn()));
    row.append(this.#button(t("again"), t("againHelp"), isBusy, () => this.#actions.again()));
    const copy = this.#button(t("copy"), "", false, async () => {
      // Where the page did not come over TLS there is no clipboard: the text is selected at least.
      if (!navigator.clipboard) return getSelection()?.selectAllChildren(this.tokens.element);
      await navigator.clipboard.writeText(textOf(answer));
      copy.textContent = t("copied");
      setTimeout(() => (copy.textContent = t("copy")), 1500);
    });
    row.append(copy);
    return row;
  }

  #button(
    /** @type {string} */ text,
    /** @type {string} */ title,
    /** @type {boolean} */ disabled,
    /** @type {() => void} */ pressed,
  ) {
    const button = element("button", {
      type: "button",
      className: "button quiet small",
      textContent: text,
      title,
      disabled,
    });
    button.addEventListener("click", pressed);
    return button;
  }
}

function facts(/** @type {Turn} */ { answer }) {
  const speed = speedOf(answer);
  const told = [t("tokens", { number: number(answer.tokens.length) })];
  if (answer.status === "stopped") told.unshift(t("stopped"));
  if (speed.tokensPerSecond) told.push(`${number(speed.tokensPerSecond, 1)} ${t("tokensPerSecond")}`);
  if (speed.acceptance !== null) told.push(`${t("acceptance")} ${percent(speed.acceptance)}`);
  if (answer.seed !== null) told.push(t("seedOf", { seed: answer.seed }));
  const num = answer.summary?.numFailovers ?? 0;
  if (num) told.push(t(num === 1 ? "failovers" : "failoversMany", { number: num }));
  if (answer.summary?.numCachedTokens) told.push(t("cached", { number: number(answer.summary.numCachedTokens) }));
  return element("p", { className: "facts", textContent: told.join(" · ") });
}
