/** The pools' state, asked for while it can be seen. */

import { RefusedError } from "./api.js";
import { element } from "./element.js";
import { milliseconds, number, percent, t } from "./strings.js";

const POLL_SECONDS = 3;
const FRESH_SECONDS = 5;

/**
 * @typedef {object} ReplicaView
 * @property {string} name
 * @property {string} address
 * @property {string} state
 * @property {string} reason
 * @property {number} numSessions
 * @property {number} numWaiting
 * @property {number|null} kvUse share of the cache's blocks
 * @property {number|null} passSeconds of a target's pass or a draft's step
 * @property {string} model
 */

/**
 * Read the gateway's status.
 * @param {any} status
 * @returns {{targets: ReplicaView[], drafts: ReplicaView[]}}
 */
export function poolsOf(status) {
  return {
    targets: (status.targets ?? []).map((/** @type {any} */ one) => replicaView(one.replica ?? {}, one.pass_seconds)),
    drafts: (status.drafts ?? []).map((/** @type {any} */ one) => replicaView(one.replica ?? {}, one.step_seconds)),
  };
}

/** @returns {ReplicaView} */
function replicaView(/** @type {any} */ replica, /** @type {unknown} */ seconds) {
  // A replica that is idle says nothing of itself: what it said before is no longer so.
  const isFresh = (replica.progress_age_seconds ?? Infinity) < FRESH_SECONDS;
  const progress = isFresh ? replica.progress : null;
  const blocks = Number(progress?.num_blocks ?? 0);
  const available = Number(progress?.num_available_blocks ?? 0);
  return {
    name: replica.replica_id || replica.address || "",
    address: replica.address ?? "",
    state: replica.state ?? "",
    reason: replica.reason ?? "",
    numSessions: Number(replica.num_sessions ?? 0),
    numWaiting: Number(progress?.num_waiting ?? 0),
    kvUse: blocks ? (blocks - available) / blocks : null,
    passSeconds: typeof seconds === "number" ? seconds : null,
    model: replica.model?.name ?? "",
  };
}

export class Pools {
  #root;
  #api;
  /** @type {number|undefined} */
  #timer;
  /** @type {any} */
  #status = null;
  #isForbidden = false;

  /**
   * @param {HTMLElement} root
   * @param {import("./api.js").Api} api
   */
  constructor(root, api) {
    this.#root = root;
    this.#api = api;
    document.addEventListener("visibilitychange", () => this.poll());
  }

  /** Ask now, and again and again from now on; after a refusal only when this is called anew, with another key. */
  async poll() {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    try {
      this.#status = await this.#api.status();
      this.#isForbidden = false;
      this.show();
    } catch (error) {
      this.#isForbidden = error instanceof RefusedError && (error.status === 401 || error.status === 403);
      this.#status = null;
      this.show();
      if (this.#isForbidden) return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.poll(), POLL_SECONDS * 1000);
  }

  show() {
    if (this.#status === null) {
      const hint = this.#isForbidden ? t("poolsForbidden") : t("poolsLost");
      this.#root.replaceChildren(element("p", { className: "hint", textContent: hint }));
      return;
    }
    const { targets, drafts } = poolsOf(this.#status);
    this.#root.replaceChildren(...pool(t("targets"), targets), ...pool(t("drafts"), drafts));
  }
}

/** @returns {HTMLElement[]} */
function pool(/** @type {string} */ title, /** @type {ReplicaView[]} */ replicas) {
  const head = element("h3", { textContent: title });
  if (replicas.length === 0) return [head, element("p", { className: "hint", textContent: t("noPools") })];
  return [head, element("ul", { className: "replicas" }, ...replicas.map(row))];
}

const STATES = /** @type {Record<string, import("./strings.js").Text>} */ ({
  ready: "stateReady",
  draining: "stateDraining",
  resting: "stateResting",
  gone: "stateGone",
  refused: "stateRefused",
});

function row(/** @type {ReplicaView} */ replica) {
  const state = element("span", { className: "state", dataset: { state: replica.state }, title: replica.reason });
  state.textContent = STATES[replica.state] ? t(STATES[replica.state]) : replica.state;
  const facts = [replica.numSessions === 1 ? t("sessionsOne") : t("sessions", { number: number(replica.numSessions) })];
  if (replica.numWaiting) facts.push(t("waiting", { number: number(replica.numWaiting) }));
  if (replica.passSeconds !== null) facts.push(`${milliseconds(replica.passSeconds)} ms`);
  return element(
    "li",
    { className: "replica" },
    element("b", {
      className: "replica-name",
      textContent: replica.name,
      title: `${replica.model} ${replica.address}`.trim(),
    }),
    state,
    element("span", { className: "replica-facts", textContent: facts.join(" · ") }),
    kvUse(replica.kvUse),
  );
}

function kvUse(/** @type {number|null} */ use) {
  const bar = element("span", { className: "share share-kv" });
  bar.style.setProperty("--share", (use ?? 0).toFixed(4));
  const value = element("span", { textContent: use === null ? "–" : percent(use) });
  return element("span", { className: "kv" }, element("span", { textContent: t("kvUse") }), bar, value);
}
