/**
 * An answer's stream that heals: it resumes with the last rollback token where the connection breaks, and waits where
 * the gateway asks for it.
 *
 * @typedef {import("./api.js").Call} Call
 * @typedef {import("./answer_event.js").AnswerEvent} AnswerEvent
 *
 * @typedef {"busy"|"broken"|"refused"} Trouble
 * @typedef {{kind: "troubled", trouble: Trouble, seconds: number, hasText: boolean}} TroubledEvent
 * @typedef {{kind: "healed"}} HealedEvent
 */

import { BrokenStreamError, RefusedError } from "./api.js";

/** Pauses between attempts that get no further; after the last of them the answer fails. */
const PAUSE_SECONDS = [0.2, 0.5, 1, 2, 4, 8, 8, 8, 8, 8];

/**
 * Stream the answer to a call.
 * @param {{stream: (call: Call, signal: AbortSignal) => AsyncGenerator<AnswerEvent, void>}} api
 * @param {Call} call
 * @param {(rollbackToken: string) => Call} resumed makes the call that goes on from a point
 * @param {AbortSignal} signal
 * @param {(seconds: number, signal: AbortSignal) => Promise<void>} pause
 * @returns {AsyncGenerator<AnswerEvent|TroubledEvent|HealedEvent, void>}
 * @throws {RefusedError|BrokenStreamError} what cannot be healed; AbortError where the signal is aborted
 */
export async function* healingStream(api, call, resumed, signal, pause = pauseFor) {
  let next = call;
  let numFailures = 0;
  let isTroubled = false;
  let rollbackToken = "";
  for (;;) {
    try {
      for await (const event of api.stream(next, signal)) {
        if (isTroubled) yield { kind: "healed" };
        isTroubled = false;
        if ("rollbackToken" in event && event.rollbackToken) rollbackToken = event.rollbackToken;
        if (event.kind === "chunk") numFailures = 0;
        yield event;
      }
      return;
    } catch (error) {
      const trouble = troubleOf(error, signal);
      if (trouble === null) throw error;
      // To wait for a quota is no failure: the gateway says when there will be some.
      if (trouble !== "busy" && ++numFailures > PAUSE_SECONDS.length) throw error;
      const asked = error instanceof RefusedError ? (error.retryAfterSeconds ?? 0) : 0;
      const seconds = Math.max(asked, PAUSE_SECONDS[Math.max(0, numFailures - 1)]);
      isTroubled = true;
      yield { kind: "troubled", trouble, seconds, hasText: rollbackToken !== "" };
      await pause(seconds, signal);
      if (rollbackToken) next = resumed(rollbackToken);
    }
  }
}

/**
 * @param {unknown} error
 * @param {AbortSignal} signal
 * @returns {Trouble|null} null where a repeat cannot help
 */
function troubleOf(error, signal) {
  if (signal.aborted) return null;
  if (error instanceof BrokenStreamError) return "broken";
  if (error instanceof RefusedError && error.isPassing) return error.status === 429 ? "busy" : "refused";
  return null;
}

/** @returns {Promise<void>} */
function pauseFor(/** @type {number} */ seconds, /** @type {AbortSignal} */ signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
