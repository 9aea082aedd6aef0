/** The branches of a conversation, as a row of buttons; hidden while there is one only. */

import { textOf } from "./answer.js";
import { element } from "./element.js";
import { t } from "./strings.js";

const PREVIEW_LENGTH = 28;

/**
 * @param {HTMLElement} root
 * @param {import("./conversation.js").Conversation} conversation
 * @param {(number: number) => void} chosen
 */
export function showBranches(root, conversation, chosen) {
  root.hidden = conversation.branches.length < 2;
  if (root.hidden) {
    root.replaceChildren();
    return;
  }
  const hadFocus = root.contains(document.activeElement);
  root.replaceChildren(...conversation.branches.map((branch) => branchButton(branch, conversation.current, chosen)));
  if (hadFocus) /** @type {HTMLElement|null} */ (root.querySelector('[aria-pressed="true"]'))?.focus();
}

function branchButton(
  /** @type {import("./conversation.js").Branch} */ branch,
  /** @type {number} */ current,
  /** @type {(number: number) => void} */ chosen,
) {
  const { number, forkedAt } = branch;
  const title = forkedAt ? t("branchFrom", { number, turn: forkedAt.turn + 1 }) : t("branch", { number });
  const button = element("button", {
    type: "button",
    className: "branch",
    title,
    "aria-pressed": String(number === current),
  });
  button.append(element("b", { textContent: String(number) }), element("span", { textContent: preview(branch) }));
  button.setAttribute("aria-label", title);
  button.addEventListener("click", () => chosen(number));
  return button;
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
