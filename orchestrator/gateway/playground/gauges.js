/** The numbers that matter: speed beside the target alone, acceptance, tokens a round, time to the first token. */

import { element } from "./element.js";
import { speedOf } from "./speed.js";
import { number, percent, t } from "./strings.js";

const UNKNOWN = "–";

/**
 * Show an answer's numbers.
 * @param {HTMLElement} root a `dl`
 * @param {import("./answer.js").Answer|null} answer
 */
export function showGauges(root, answer) {
  const speed = answer ? speedOf(answer) : null;
  const factor = speed?.tokensPerSecond && speed.targetOnly ? speed.tokensPerSecond / speed.targetOnly : null;
  root.replaceChildren(
    speedGauge(speed, factor),
    gauge(
      t("acceptance"),
      speed?.acceptance == null ? UNKNOWN : percent(speed.acceptance),
      share(speed?.acceptance ?? 0, "accepted"),
      speed ? `${number(speed.numAccepted)} / ${number(speed.numDrafted)}` : UNKNOWN,
    ),
    gauge(t("perRound"), speed?.tokensPerRound == null ? UNKNOWN : number(speed.tokensPerRound, 2)),
    gauge(t("firstToken"), speed?.firstTokenSeconds == null ? UNKNOWN : firstToken(speed.firstTokenSeconds)),
  );
}

function speedGauge(/** @type {import("./speed.js").Speed|null} */ speed, /** @type {number|null} */ factor) {
  const own = speed?.tokensPerSecond ?? 0;
  const alone = speed?.targetOnly ?? 0;
  const most = Math.max(own, alone) || 1;
  const unit = element("small", { textContent: ` ${t("tokensPerSecond")}` });
  const value = element("dd", { className: "value" }, own ? number(own, 1) : UNKNOWN, unit);
  const name = speed?.isEstimate === false ? t("targetOnly") : t("targetOnlyEstimate");
  return element(
    "div",
    { className: "gauge wide" },
    element("dt", { textContent: t("speed") }),
    value,
    element("dd", { className: "factor", textContent: factor ? t("speedup", { factor: number(factor, 2) }) : "" }),
    element(
      "dd",
      { className: "bars" },
      share(own / most, "own"),
      share(alone / most, "alone"),
      element("span", { className: "note", textContent: alone ? `${name}: ${number(alone, 1)}` : name }),
    ),
  );
}

function gauge(
  /** @type {string} */ name,
  /** @type {string} */ value,
  /** @type {HTMLElement|null} */ bar = null,
  note = "",
) {
  const below = element("span", { className: "note", textContent: note });
  const parts = bar ? [element("dd", { className: "bars" }, bar, below)] : [];
  const shown = element("dd", { className: "value", textContent: value });
  return element("div", { className: "gauge" }, element("dt", { textContent: name }), shown, ...parts);
}

function share(/** @type {number} */ part, /** @type {string} */ kind) {
  const bar = element("span", { className: `share share-${kind}` });
  bar.style.setProperty("--share", Math.min(1, part).toFixed(4));
  return bar;
}

/** @returns {string} */
function firstToken(/** @type {number} */ seconds) {
  return seconds < 1 ? `${number(seconds * 1000)} ms` : `${number(seconds, 2)} s`;
}
