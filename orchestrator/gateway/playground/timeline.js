/**
 * The rounds of an answer, one column each: above, where the round's time went; below, the tokens that it brought and
 * the drafted ones that were refused.
 *
 * @typedef {import("./answer.js").Answer} Answer
 * @typedef {import("./answer.js").Round} Round
 */

import { PARTS } from "./answer_event.js";
import { element, shape } from "./element.js";
import { milliseconds, number, t } from "./strings.js";

const PITCH = 14; // pixels from one column to the next
const BAR = 10;
const TIME_HEIGHT = 104;
const CELL = 8;
const CELL_PITCH = 10;
const GAP = 9; // between times and tokens
const NUM_TABLE_ROWS = 100;
const NUM_SCALED = 200; // latest rounds that the scale is for
const MOST_MEDIANS = 4; // of a round's time that is drawn in full

export class Timeline {
  #root;
  #pointed;
  /** @type {Round[]} */
  #rounds = [];
  /** @type {Answer|null} */
  #answer = null;
  #drawn = { num: 0, scale: 0, numCells: 0, first: /** @type {Round|null} */ (null) };
  /** @type {number|null} */
  #marked = null;
  #axis = element("div", { className: "axis", "aria-hidden": "true" });
  #svg = /** @type {SVGSVGElement} */ (shape("svg", { class: "columns", "aria-hidden": "true" }));
  #scroll = element("div", { className: "timeline-scroll", tabIndex: 0, role: "group" });
  #title = element("p", { className: "readout-title" });
  #parts = element("ul", { className: "parts" });
  #readout = element("div", { className: "readout" }, this.#title, this.#parts);
  #summary = element("summary");
  #tableHead = element("thead");
  #tableRows = element("tbody");
  #tableScroll = element(
    "div",
    { className: "table-scroll", tabIndex: 0 },
    element("table", {}, this.#tableHead, this.#tableRows),
  );
  #table = element("details", { className: "rounds-table" }, this.#summary, this.#tableScroll);

  /**
   * @param {HTMLElement} root
   * @param {(round: Round|null) => void} pointed is told which round is looked at
   */
  constructor(root, pointed) {
    this.#root = root;
    this.#pointed = pointed;
    this.#scroll.append(this.#svg);
    root.append(element("div", { className: "plot" }, this.#axis, this.#scroll), this.#readout, this.#table);
    this.#svg.addEventListener("pointermove", (event) => this.#look(Math.floor(event.offsetX / PITCH)));
    this.#svg.addEventListener("pointerleave", () => this.#look(null));
    this.#scroll.addEventListener("keydown", (event) => this.#pressed(event));
    this.#scroll.addEventListener("blur", () => this.#look(null));
    this.#table.addEventListener("toggle", () => this.#showTable());
  }

  /** Show an answer's rounds; null shows that there are none. */
  show(/** @type {Answer|null} */ answer) {
    this.#answer = answer;
    this.#rounds = answer?.rounds ?? [];
    this.#root.classList.toggle("is-empty", this.#rounds.length === 0);
    this.#scroll.setAttribute("aria-label", t("timelineLabel"));
    this.#draw();
    this.#tell();
    this.#showTable();
  }

  /** Mark the round that a token belongs to. */
  markToken(/** @type {number|null} */ index) {
    const place =
      index === null
        ? null
        : this.#rounds.findIndex((one) => index >= one.firstToken && index < one.firstToken + one.numTokens);
    this.#mark(place === -1 ? null : place);
  }

  #draw() {
    const scale = scaleOf(this.#rounds);
    const numCells = Math.max(4, ...this.#rounds.map(numCellsOf));
    const isOther = this.#rounds[0] !== this.#drawn.first || this.#rounds.length < this.#drawn.num;
    if (isOther || scale !== this.#drawn.scale || numCells !== this.#drawn.numCells) {
      this.#svg.replaceChildren();
      this.#drawn.num = 0;
    }
    const height = TIME_HEIGHT + GAP + numCells * CELL_PITCH;
    const isAtEnd = this.#scroll.scrollLeft + this.#scroll.clientWidth >= this.#scroll.scrollWidth - PITCH;
    this.#svg.setAttribute("width", String(Math.max(PITCH, this.#rounds.length * PITCH)));
    this.#svg.setAttribute("height", String(height));
    for (let place = this.#drawn.num; place < this.#rounds.length; place++) {
      this.#svg.append(this.#column(this.#rounds[place], place, scale));
    }
    this.#drawn = { num: this.#rounds.length, scale, numCells, first: this.#rounds[0] ?? null };
    this.#axis.replaceChildren(
      element("span", { textContent: `${milliseconds(scale)} ms` }),
      element("span", { textContent: "0" }),
      element("span", { textContent: t("tokensTitle") }),
    );
    if (isAtEnd) this.#scroll.scrollLeft = this.#scroll.scrollWidth;
  }

  #column(/** @type {Round} */ round, /** @type {number} */ place, /** @type {number} */ scale) {
    const column = shape("g", { class: "column", transform: `translate(${place * PITCH} 0)` });
    column.append(shape("rect", { class: "column-ground", width: PITCH, height: "100%" }));
    if (round.isAfterFailover && !this.#rounds[place - 1]?.isAfterFailover) {
      column.append(shape("line", { class: "failover-line", x1: 0.5, x2: 0.5, y1: 0, y2: "100%" }));
    }
    let top = TIME_HEIGHT;
    for (const part of PARTS) {
      const height = Math.min(top, ((round.seconds?.[part] ?? 0) / scale) * TIME_HEIGHT);
      if (height < 0.05) continue;
      top -= height;
      column.append(
        shape("rect", { class: `part-${part}`, x: 2, y: top.toFixed(2), width: BAR, height: height.toFixed(2) }),
      );
    }
    if (secondsOf(round) > scale)
      column.append(shape("path", { class: "cut-off", d: `M1 7 l${BAR + 2} -4 v3 l-${BAR + 2} 4z` }));
    this.#cellsOf(round).forEach((kind, row) => {
      const y = TIME_HEIGHT + GAP + row * CELL_PITCH;
      column.append(shape("rect", { class: `cell cell-${kind}`, x: 3, y, width: CELL, height: CELL, rx: 1.5 }));
    });
    return column;
  }

  /** @returns {string[]} the origins of what the round brought, then its refused draft tokens */
  #cellsOf(/** @type {Round} */ round) {
    const tokens = this.#answer?.tokens.slice(round.firstToken, round.firstToken + round.numTokens) ?? [];
    const numRefused = Math.max(0, round.numDraftTokens - round.numAccepted);
    return [...tokens.map((token) => token.origin), ...Array.from({ length: numRefused }, () => "refused")];
  }

  #look(/** @type {number|null} */ place) {
    const inside = place !== null && place >= 0 && place < this.#rounds.length ? place : null;
    if (inside === this.#marked) return;
    this.#mark(inside);
    this.#pointed(inside === null ? null : this.#rounds[inside]);
  }

  #mark(/** @type {number|null} */ place) {
    this.#svg.querySelector(".is-marked")?.classList.remove("is-marked");
    this.#marked = place;
    if (place !== null) this.#svg.children[place]?.classList.add("is-marked");
    this.#tell();
  }

  #pressed(/** @type {KeyboardEvent} */ event) {
    const last = this.#rounds.length - 1;
    const now = this.#marked ?? last + 1;
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
    if (next === undefined || last < 0) return;
    event.preventDefault();
    const place = Math.min(last, Math.max(0, next));
    this.#look(place);
    this.#scroll.scrollLeft = Math.max(0, place * PITCH - this.#scroll.clientWidth / 2);
  }

  #tell() {
    const round = this.#marked === null ? null : this.#rounds[this.#marked];
    const told = round ? [round] : this.#rounds;
    // Read aloud where the reader walks the rounds, not at each round that comes.
    this.#readout.setAttribute("aria-live", round ? "polite" : "off");
    this.#title.textContent = round
      ? roundTitle(round)
      : this.#rounds.length
        ? t("meanOf", { number: number(this.#rounds.length) })
        : t("emptyTimeline");
    const rows = PARTS.map((part) => {
      const seconds = told.length ? told.reduce((sum, one) => sum + (one.seconds?.[part] ?? 0), 0) / told.length : null;
      const value = seconds === null ? "–" : milliseconds(seconds);
      return element(
        "li",
        {},
        element("span", { className: `swatch part-${part}` }),
        element("span", { textContent: t(part) }),
        element("b", { textContent: value }),
      );
    });
    this.#parts.replaceChildren(...rows);
  }

  /** The same as text, for those who do not see the columns; made only while it is open. Only rows are ever replaced. */
  #showTable() {
    this.#summary.textContent = t("tableTitle");
    if (!this.#table.open) {
      this.#tableRows.replaceChildren();
      return;
    }
    const titles = [t("round"), "K", t("accepted"), ...PARTS.map((part) => t(part))];
    const head = element("tr", {}, ...titles.map((title) => element("th", { textContent: title, scope: "col" })));
    const rows = this.#rounds.slice(-NUM_TABLE_ROWS).map((one) => {
      const times = PARTS.map((part) => (one.seconds ? milliseconds(one.seconds[part]) : "–"));
      const cells = [one.round, one.numDraftTokens, one.numAccepted, ...times];
      return element("tr", {}, ...cells.map((cell) => element("td", { textContent: String(cell) })));
    });
    this.#tableHead.replaceChildren(head);
    this.#tableRows.replaceChildren(...rows);
  }
}

/** @returns {string} */
function roundTitle(/** @type {Round} */ { round, numDraftTokens, numAccepted }) {
  const values = { round, drafted: numDraftTokens, accepted: numAccepted };
  return t(numDraftTokens ? "readout" : "readoutOwn", values);
}

/** @returns {number} */
function secondsOf(/** @type {Round} */ { seconds }) {
  return seconds ? PARTS.reduce((sum, part) => sum + seconds[part], 0) : 0;
}

/** @returns {number} */
function numCellsOf(/** @type {Round} */ round) {
  return Math.min(20, round.numTokens + Math.max(0, round.numDraftTokens - round.numAccepted));
}

/**
 * Return the seconds that the columns' height stands for: the longest round's. The first has the prompt and does not
 * count; one that is much longer than the others, such as a failover's, is cut off rather than that they are all flat.
 * @param {Round[]} rounds
 * @returns {number}
 */
function scaleOf(rounds) {
  const times = (rounds.length > 1 ? rounds.slice(1) : rounds).slice(-NUM_SCALED).map(secondsOf);
  times.sort((one, other) => one - other);
  const median = times[Math.floor(times.length / 2)] ?? 0;
  return niceCeiling(Math.max(0.001, Math.min(times.at(-1) ?? 0, MOST_MEDIANS * median)));
}

/** @returns {number} the next round number */
function niceCeiling(/** @type {number} */ value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((factor) => factor * power).find((one) => one >= value) ?? value;
}
