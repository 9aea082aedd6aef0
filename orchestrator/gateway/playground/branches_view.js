/** The branches of a conversation, as a row of buttons; hidden while there is one only. */

import { textOf } from "./answer.js";
import { element } from "./element.js";
import { t } from "./strings.js";

const PREVIEW_LENGTH = 28;

export class BranchesView {
  #root;
  #chosen;
  /** @type {Map<number, HTMLButtonElement>} by the branch's number */
  #buttons = new Map();

  /**
   * @param {HTMLElement} root
   * @param {(number: number) => void} chosen
   */
  constructor(root, chosen) {
    this.#root = root;
    this.#chosen = chosen;
  }

  /** Buttons stay the same elements, so that neither a click nor the focus is lost while an answer comes in. */
  show(/** @type {import("./conversation.js").Conversation} */ { branches, current }) {
    this.#root.hidden = branches.length < 2;
    this.#dropOthers(this.#root.hidden ? [] : branches.map((branch) => branch.number));
    if (this.#root.hidden) return;
    for (const branch of branches) this.#tell(this.#buttonOf(branch.number), branch, branch.number === current);
  }

  #dropOthers(/** @type {number[]} */ numbers) {
    for (const [number, button] of this.#buttons) {
      if (numbers.includes(number)) continue;
      button.remove();
      this.#buttons.delete(number);
    }
  }

  #buttonOf(/** @type {number} */ number) {
    const known = this.#buttons.get(number);
    if (known) return known;
    const button = element("button", { type: "button", className: "branch" }, element("b"), element("span"));
    button.addEventListener("click", () => this.#chosen(number));
    this.#root.append(button);
    this.#buttons.set(number, button);
    return button;
  }

  #tell(
    /** @type {HTMLButtonElement} */ button,
    /** @type {import("./conversation.js").Branch} */ branch,
    /** @type {boolean} */ isCurrent,
  ) {
    const { number, forkedAt } = branch;
    const title = forkedAt ? t("branchFrom", { number, turn: forkedAt.turn + 1 }) : t("branch", { number });
    button.title = title;
    button.setAttribute("aria-label", title);
    button.setAttribute("aria-pressed", String(isCurrent));
    const [name, text] = button.children;
    name.textContent = String(number);
    text.textContent = preview(branch);
  }
}

/** @returns {string} how the branch goes on where it parts from its parent */
function preview(/** @type {import("./conversation.js").Branch} */ { turns, forkedAt }) {
  const turn = turns[forkedAt?.turn ?? 0];
  if (!turn) return "";
  const isInAnswer = forkedAt !== null && forkedAt.token > 0;
  const text = isInAnswer ? textOf(turn.answer).slice(textLength(turn.answer, forkedAt.token)) : turn.prompt;
  const line = text.trim().replaceAll(/\s+/g, " ");
  return line.length > PREVIEW_LENGTH ? `${line.slice(0, PREVIEW_LENGTH)}…` : line;
}

/** @returns {number} */
function textLength(/** @type {import("./answer.js").Answer} */ answer, /** @type {number} */ numTokens) {
  return answer.tokens.slice(0, numTokens).reduce((sum, token) => sum + token.text.length, 0);
}
