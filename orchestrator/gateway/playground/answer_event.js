/**
 * What a stream says of an answer, read from the gateway's JSON chunks. Messages stop here: the rest of the page knows
 * only these events.
 *
 * @typedef {"accepted"|"recovered"|"bonus"|"target"|"prompt"|"replayed"} Origin
 * @typedef {{id: number, text: string, logprob: number}} Alternative
 * @typedef {{id: number, text: string, origin: Origin, logprob: number|null, alternatives: Alternative[]}} SentToken
 * @typedef {{draft: number, network: number, queue: number, verify: number, commit: number}} RoundSeconds
 *
 * @typedef {{kind: "started", sessionId: string, position: number, rollbackToken: string, numPromptTokens: number,
 *   traceId: string}} StartedEvent
 * @typedef {{kind: "chunk", tokens: SentToken[], round: number, epoch: number, position: number, numAccepted: number,
 *   numDraftTokens: number, rollbackToken: string, seconds: RoundSeconds|null}} ChunkEvent
 * @typedef {{kind: "finished", reason: string}} FinishedEvent
 * @typedef {{kind: "summary", rollbackToken: string, numPromptTokens: number, numCachedTokens: number,
 *   numFailovers: number, timeToFirstToken: number|null, secondsPerToken: number|null, targetOnlyTokensPerSecond: number|null,
 *   choiceReason: string}} SummaryEvent
 * @typedef {StartedEvent|ChunkEvent|FinishedEvent|SummaryEvent} AnswerEvent
 */

/** Parts of a round in the order in which they are drawn. */
export const PARTS = /** @type {const} */ (["draft", "network", "queue", "verify", "commit"]);

/**
 * Read one chunk of a stream.
 * @param {any} message the chunk's JSON
 * @returns {AnswerEvent[]}
 */
export function answerEvents(message) {
  const choice = message.choices?.[0];
  const ours = message.paceline ?? {};
  /** @type {AnswerEvent[]} */
  const events = [];
  if (ours.session_id) events.push(started(ours));
  const text = choice?.delta?.content ?? choice?.text ?? "";
  if (ours.tokens?.length || text) events.push(chunk(ours, text));
  if (choice?.finish_reason) events.push({ kind: "finished", reason: choice.finish_reason });
  if (ours.summary) events.push(summary(ours.summary));
  return events;
}

/** @returns {StartedEvent} */
function started(/** @type {any} */ ours) {
  return {
    kind: "started",
    sessionId: ours.session_id,
    position: Number(ours.position ?? 0),
    rollbackToken: ours.rollback_token,
    numPromptTokens: Number(ours.num_prompt_tokens ?? 0),
    traceId: ours.trace_id ?? "",
  };
}

/**
 * @param {any} ours
 * @param {string} text shown as one token where the gateway tells no tokens
 * @returns {ChunkEvent}
 */
function chunk(ours, text) {
  const tokens = ours.tokens?.length ? ours.tokens.map(token) : [token({ text })];
  return {
    kind: "chunk",
    tokens,
    round: Number(ours.round ?? 0),
    epoch: Number(ours.epoch ?? 0),
    position: Number(ours.position ?? 0),
    numAccepted: Number(ours.num_accepted ?? 0),
    numDraftTokens: Number(ours.num_draft_tokens ?? 0),
    rollbackToken: ours.rollback_token ?? "",
    seconds: ours.timing ? roundSeconds(ours.timing) : null,
  };
}

/** @returns {SentToken} */
function token(/** @type {any} */ sent) {
  return {
    id: Number(sent.id ?? 0),
    text: sent.text ?? "",
    origin: sent.origin ?? "target",
    logprob: typeof sent.logprob === "number" ? sent.logprob : null,
    alternatives: (sent.alternatives ?? []).map((/** @type {any} */ other) => ({
      id: Number(other.id),
      text: other.text ?? "",
      logprob: other.logprob,
    })),
  };
}

/** @returns {RoundSeconds} */
function roundSeconds(/** @type {any} */ timing) {
  const seconds = /** @type {any} */ ({});
  for (const part of PARTS) seconds[part] = Math.max(0, Number(timing[`${part}_seconds`] ?? 0));
  return seconds;
}

/** @returns {SummaryEvent} */
function summary(/** @type {any} */ sent) {
  const failovers = Object.values(sent.recovery?.num_failovers ?? {});
  return {
    kind: "summary",
    rollbackToken: sent.rollback_token ?? "",
    numPromptTokens: Number(sent.usage?.num_prompt_tokens ?? 0),
    numCachedTokens: Number(sent.usage?.num_cached_prompt_tokens ?? 0),
    numFailovers: failovers.reduce((/** @type {number} */ sum, num) => sum + Number(num), 0),
    timeToFirstToken: positive(sent.timing?.time_to_first_token_seconds),
    secondsPerToken: positive(sent.timing?.time_per_output_token_seconds),
    targetOnlyTokensPerSecond: positive(sent.speculation?.choice?.target_only_tokens_per_second),
    choiceReason: sent.speculation?.choice?.reason ?? "",
  };
}

/** @returns {number|null} */
function positive(/** @type {unknown} */ value) {
  const number = Number(value ?? 0);
  return number > 0 ? number : null;
}
