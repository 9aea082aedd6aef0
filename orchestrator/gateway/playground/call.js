/**
 * The calls that the page makes for text: plain data from plain data.
 *
 * @typedef {import("./api.js").Call} Call
 * @typedef {import("./answer.js").Point} Point
 * @typedef {import("./conversation.js").Turn} Turn
 *
 * @typedef {"model"|"prompt_lookup"|"none"} Drafter
 * @typedef {object} Settings
 * @property {Drafter} drafter
 * @property {number|null} numDraftTokens null lets the orchestrator choose for each round
 * @property {number} temperature
 * @property {number} topP
 * @property {number} maxTokens
 * @property {number|null} seed null draws one for each answer
 * @property {string} systemPrompt
 */

import { messagesOf } from "./conversation.js";

const NUM_ALTERNATIVES = 5;

const CHAT = "/v1/chat/completions";
const TEXT = "/v1/completions";

/** @typedef {"rewind"|"fork"} ContinuationMode */

/**
 * The call that answers the last of some turns.
 * @param {string} model
 * @param {Turn[]} turns
 * @param {string} prompt
 * @param {{settings: Settings, seed: number, point: Point|null, mode: ContinuationMode}} how
 * @returns {Call}
 */
export function turnCall(model, turns, prompt, { settings, seed, point, mode }) {
  const messages = [...messagesOf(settings.systemPrompt, turns), { role: "user", content: prompt }];
  return {
    path: CHAT,
    body: {
      model,
      messages,
      ...wishes(settings, seed),
      logprobs: true,
      top_logprobs: NUM_ALTERNATIVES,
      paceline: extension(settings, point && continuation(point, mode)),
    },
  };
}

/**
 * The call that generates on behind some ids behind a point.
 * @param {string} model
 * @param {number[]} ids may be empty
 * @param {{settings: Settings, seed: number, point: Point, mode: ContinuationMode}} how
 * @returns {Call}
 */
export function onwardCall(model, ids, { settings, seed, point, mode }) {
  return {
    path: TEXT,
    body: {
      model,
      ...(ids.length ? { prompt: ids } : {}),
      ...wishes(settings, seed),
      logprobs: NUM_ALTERNATIVES,
      paceline: extension(settings, continuation(point, mode)),
    },
  };
}

/**
 * The call that goes on with a stream that broke, exactly where it broke.
 * @param {string} model
 * @param {string} rollbackToken
 * @returns {Call}
 */
export function resumeCall(model, rollbackToken) {
  const paceline = { include_tokens: true, continuation: { mode: "resume", rollback_token: rollbackToken } };
  return { path: TEXT, body: { model, stream: true, paceline } };
}

/** A seed that JSON numbers hold exactly, so that the page can show it and the reader can use it again. */
export function drawnSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}

function wishes(/** @type {Settings} */ settings, /** @type {number} */ seed) {
  return {
    stream: true,
    stream_options: { include_usage: true },
    temperature: settings.temperature,
    top_p: settings.topP,
    max_tokens: settings.maxTokens,
    seed,
  };
}

function extension(/** @type {Settings} */ settings, /** @type {object|null} */ continued) {
  return {
    include_tokens: true,
    speculation: speculation(settings),
    ...(continued ? { continuation: continued } : {}),
  };
}

function continuation(/** @type {Point} */ point, /** @type {ContinuationMode} */ mode) {
  return { mode, rollback_token: point.rollbackToken };
}

function speculation(/** @type {Settings} */ { drafter, numDraftTokens }) {
  if (drafter === "none") return { mode: "off" };
  return numDraftTokens === null
    ? { mode: "adaptive", drafter }
    : { mode: "fixed", num_draft_tokens: numDraftTokens, drafter };
}
