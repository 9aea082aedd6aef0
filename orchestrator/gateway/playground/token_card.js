/**
 * The card that tells of one token: beside it while it is pointed at, pinned with its actions when it is chosen.
 *
 * @typedef {import("./answer.js").Token} Token
 * @typedef {import("./answer_event.js").Alternative} Alternative
 * @typedef {{rewind: () => void, fork: () => void, forkWith: (alternative: Alternative) => void, closed: () => void}} CardActions
 */

import { element } from "./element.js";
import { percent, t } from "./strings.js";
import { visible } from "./token_view.js";

const MARGIN = 8; // pixels between the card and what is around it
// An alternative whose text is not the token's bytes cannot be shown truly once it is chosen.
const NOT_TEXT = /\uFFFD|^<\|.*\|>$|^$/;

export class TokenCard {
  #root;
  isPinned = false;
  /** @type {(() => void)|null} */
  #closed = null;
  /** @type {HTMLElement|null} */
  #described = null;

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#root = root;
    root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.close();
    });
    document.addEventListener("pointerdown", (event) => {
      if (this.isPinned && event.target instanceof Node && !root.contains(event.target)) this.close();
    });
  }

  /** Show a token beside its place; does nothing while another is pinned. */
  point(/** @type {Token} */ token, /** @type {HTMLElement} */ at) {
    if (this.isPinned) return;
    this.#fill(token, at, null, false);
    this.#root.setAttribute("role", "tooltip");
    this.#root.removeAttribute("aria-label");
    this.#describe(at);
  }

  /**
   * Pin the card with what can be done at the token.
   * @param {Token} token
   * @param {HTMLElement} at
   * @param {{actions: CardActions, isGreedy: boolean, takesFocus: boolean}} how
   */
  pin(token, at, { actions, isGreedy, takesFocus }) {
    if (this.isPinned) this.close();
    this.isPinned = true;
    this.#closed = actions.closed;
    this.#fill(token, at, actions, isGreedy);
    this.#root.setAttribute("role", "dialog");
    this.#root.setAttribute("aria-label", t("tokenLabel", { text: visible(token.text) }));
    if (takesFocus) this.#root.querySelector("button")?.focus();
  }

  leave() {
    if (this.isPinned) return;
    this.#root.hidden = true;
    this.#describe(null);
  }

  close() {
    this.#root.hidden = true;
    this.isPinned = false;
    const closed = this.#closed;
    this.#closed = null;
    closed?.();
  }

  #describe(/** @type {HTMLElement|null} */ at) {
    this.#described?.removeAttribute("aria-describedby");
    at?.setAttribute("aria-describedby", this.#root.id);
    this.#described = at;
  }

  #fill(
    /** @type {Token} */ token,
    /** @type {HTMLElement} */ at,
    /** @type {CardActions|null} */ actions,
    /** @type {boolean} */ isGreedy,
  ) {
    this.#root.replaceChildren(
      head(token),
      facts(token),
      ...alternatives(token, actions),
      ...buttons(actions, isGreedy),
    );
    this.#root.classList.toggle("is-pinned", actions !== null);
    this.#root.hidden = false;
    this.#place(at);
  }

  /** Above the token if there is room, else below; never over the window's edge. */
  #place(/** @type {HTMLElement} */ at) {
    const token = at.getClientRects()[0] ?? at.getBoundingClientRect();
    const { width, height } = this.#root.getBoundingClientRect();
    const above = token.top - height - MARGIN;
    const below = Math.min(token.bottom + MARGIN, innerHeight - height - MARGIN);
    const left = Math.min(Math.max(MARGIN, token.left), innerWidth - width - MARGIN);
    this.#root.style.setProperty("--left", `${Math.max(MARGIN, left)}px`);
    this.#root.style.setProperty("--top", `${Math.max(MARGIN, above >= MARGIN ? above : below)}px`);
  }
}

function head(/** @type {Token} */ token) {
  const origin = token.origin === "prompt" ? "chosen" : token.origin;
  const name = token.isAfterFailover ? `${t(origin)}, ${t("afterFailover")}` : t(origin);
  const sample = element("span", { className: "sample", dataset: { origin: token.origin }, textContent: name });
  sample.classList.toggle("is-after-failover", token.isAfterFailover);
  return element(
    "header",
    { className: "card-head" },
    element("code", { className: "card-token", textContent: visible(token.text) || "∅" }),
    element("span", { className: "card-origin" }, sample),
  );
}

function facts(/** @type {Token} */ token) {
  const pairs = [
    [t("round"), String(token.round)],
    [t("position"), String(token.position)],
    [t("id"), String(token.id)],
  ];
  if (token.logprob !== null) pairs.push([t("probability"), percent(Math.exp(token.logprob), 1)]);
  const cells = pairs.map(([name, value]) =>
    element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value })),
  );
  return element("dl", { className: "card-facts" }, ...cells);
}

/** @returns {HTMLElement[]} */
function alternatives(/** @type {Token} */ token, /** @type {CardActions|null} */ actions) {
  if (token.alternatives.length === 0) return [];
  const rows = token.alternatives.map((one) => alternativeRow(one, one.id === token.id, actions));
  return [element("ul", { className: "card-alternatives", "aria-label": t("alternatives") }, ...rows)];
}

function alternativeRow(
  /** @type {Alternative} */ one,
  /** @type {boolean} */ isOwn,
  /** @type {CardActions|null} */ actions,
) {
  const share = Math.exp(one.logprob);
  const bar = element("span", { className: "share" });
  bar.style.setProperty("--share", share.toFixed(4));
  const parts = [
    element("code", { textContent: visible(one.text) || "∅" }),
    bar,
    element("span", { className: "value", textContent: percent(share, 1) }),
  ];
  if (actions === null || isOwn || NOT_TEXT.test(one.text)) {
    return element("li", { className: isOwn ? "is-own" : "" }, element("span", { className: "alternative" }, ...parts));
  }
  const label = `${t("forkWith", { text: visible(one.text) })}, ${percent(share, 1)}`;
  const button = element(
    "button",
    {
      type: "button",
      className: "alternative",
      title: t("forkWith", { text: visible(one.text) }),
      "aria-label": label,
    },
    ...parts,
  );
  button.addEventListener("click", () => actions.forkWith(one));
  return element("li", {}, button);
}

/** @returns {HTMLElement[]} */
function buttons(/** @type {CardActions|null} */ actions, /** @type {boolean} */ isGreedy) {
  if (actions === null) return [];
  const rewind = element("button", {
    type: "button",
    className: "button",
    textContent: t("rewind"),
    title: t("rewindHelp"),
  });
  rewind.addEventListener("click", actions.rewind);
  const fork = element("button", { type: "button", className: "button", textContent: t("fork"), title: t("forkHelp") });
  fork.addEventListener("click", actions.fork);
  const hint = isGreedy ? [element("p", { className: "hint", textContent: t("greedyHint") })] : [];
  return [element("footer", { className: "card-actions" }, rewind, fork), ...hint];
}
