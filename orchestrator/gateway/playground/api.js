/** Calls of the gateway that served this page. */

import { answerEvents } from "./answer_event.js";
import { eventsOf } from "./sse.js";

/**
 * @typedef {import("./answer_event.js").AnswerEvent} AnswerEvent
 * @typedef {{path: string, body: Record<string, unknown>}} Call
 */

/** The gateway refused a call, or ended a stream with an error. */
export class RefusedError extends Error {
  /**
   * @param {number} status HTTP status; 200 where the stream had begun
   * @param {any} error the `error` object of the gateway's answer
   * @param {number|null} retryAfterSeconds
   */
  constructor(status, error, retryAfterSeconds) {
    super(error?.message ?? `HTTP ${status}`);
    this.status = status;
    this.code = String(error?.code ?? "");
    this.type = String(error?.type ?? "");
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /** The same call may succeed a little later. */
  get isPassing() {
    return this.status === 429 || this.status === 503 || PASSING_TYPES.has(this.type);
  }
}

/** The connection ended before the answer did. */
export class BrokenStreamError extends Error {}

/** What a proxy in front of the gateway says when it does not reach it: no word of the gateway's own. */
const NO_GATEWAY = new Set([502, 504]);

const PASSING_TYPES = new Set(["rate_limit_error", "overloaded_error"]);

export class Api {
  #keyOf;

  /** @param {() => string} keyOf returns the API key, "" where there is none */
  constructor(keyOf) {
    this.#keyOf = keyOf;
  }

  /** @returns {Promise<any[]>} the models served */
  async models() {
    return (await this.#json("/v1/models")).data ?? [];
  }

  /** @returns {Promise<any>} the pools, as StatusService tells them */
  status() {
    return this.#json("/paceline/v1/status");
  }

  /**
   * Make a call that streams an answer.
   * @param {Call} call
   * @param {AbortSignal} signal
   * @returns {AsyncGenerator<AnswerEvent, void>}
   * @throws {RefusedError|BrokenStreamError}
   */
  async *stream(call, signal) {
    const headers = { ...this.#headers(), "Content-Type": "application/json" };
    const response = await this.#fetch(call.path, { method: "POST", headers, body: JSON.stringify(call.body), signal });
    if (!response.body) throw new BrokenStreamError("the answer has no body");
    try {
      for await (const data of eventsOf(response.body)) {
        if (data === "[DONE]") return;
        const message = JSON.parse(data);
        if (message.error) throw new RefusedError(200, message.error, null);
        yield* answerEvents(message);
      }
    } catch (error) {
      if (error instanceof RefusedError || signal.aborted) throw error;
      throw new BrokenStreamError(String(error));
    }
    throw new BrokenStreamError("the stream ended without its last event");
  }

  /** @returns {Promise<any>} */
  async #json(/** @type {string} */ path) {
    return (await this.#fetch(path, { headers: this.#headers() })).json();
  }

  /**
   * @param {string} path
   * @param {RequestInit} options
   * @returns {Promise<Response>}
   */
  async #fetch(path, options) {
    let response;
    try {
      response = await fetch(path, { ...options, cache: "no-store" });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new BrokenStreamError(String(error));
    }
    if (response.ok) return response;
    if (NO_GATEWAY.has(response.status)) throw new BrokenStreamError(`HTTP ${response.status}`);
    const answer = await response.json().catch(() => ({}));
    throw new RefusedError(response.status, answer.error, retryAfter(response.headers.get("Retry-After")));
  }

  /** @returns {Record<string, string>} */
  #headers() {
    const key = this.#keyOf();
    return key ? { Authorization: `Bearer ${key}` } : {};
  }
}

/**
 * @param {string|null} header seconds or a date
 * @returns {number|null} seconds
 */
function retryAfter(header) {
  if (header === null) return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds);
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, (date - Date.now()) / 1000);
}
