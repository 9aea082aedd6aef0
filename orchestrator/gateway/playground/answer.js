/**
 * One answer as it is known so far. Pure: an answer is never changed, each function returns another one.
 *
 * @typedef {import("./answer_event.js").AnswerEvent} AnswerEvent
 * @typedef {import("./answer_event.js").ChunkEvent} ChunkEvent
 * @typedef {import("./answer_event.js").SentToken} SentToken
 * @typedef {import("./answer_event.js").RoundSeconds} RoundSeconds
 * @typedef {import("./answer_event.js").SummaryEvent} SummaryEvent
 *
 * @typedef {SentToken & {round: number, position: number, epoch: number, isAfterFailover: boolean}} Token
 *
 * A point to which the server can return: behind so many tokens of the answer.
 * @typedef {{numTokens: number, position: number, sessionId: string, rollbackToken: string}} Point
 *
 * What one chunk brought; a chunk is a round, or several for a slow reader.
 * @typedef {{round: number, firstToken: number, numTokens: number, numDraftTokens: number, numAccepted: number,
 *   seconds: RoundSeconds|null, isAfterFailover: boolean}} Round
 *
 * @typedef {"waiting"|"streaming"|"stopped"|"failed"|"finished"} AnswerStatus
 *
 * @typedef {object} Answer
 * @property {AnswerStatus} status
 * @property {Token[]} tokens
 * @property {Point[]} points in order of numTokens
 * @property {Round[]} rounds
 * @property {string} sessionId "" before the server has begun
 * @property {number|null} seed what was asked for
 * @property {string} systemPrompt what was asked for
 * @property {number} position of the next token, the prompt counted
 * @property {number|null} firstEpoch of the stream that is read now; a higher one is a failover
 * @property {number} numKept tokens that were there when this stream began; they are no part of its speed
 * @property {number} askedAt milliseconds, as all times of the page
 * @property {number|null} firstTokenAt
 * @property {number|null} lastTokenAt
 * @property {string} finishReason
 * @property {SummaryEvent|null} summary
 */

/**
 * @param {number|null} seed
 * @param {number} now milliseconds
 * @param {string} [systemPrompt]
 * @returns {Answer}
 */
export function newAnswer(seed, now, systemPrompt = "") {
  return {
    status: "waiting",
    tokens: [],
    points: [],
    rounds: [],
    sessionId: "",
    seed,
    systemPrompt,
    position: 0,
    firstEpoch: null,
    numKept: 0,
    askedAt: now,
    firstTokenAt: null,
    lastTokenAt: null,
    finishReason: "",
    summary: null,
  };
}

/** @returns {string} */
export function textOf(/** @type {Answer} */ answer) {
  return answer.tokens.map((token) => token.text).join("");
}

/**
 * Return the answer as an event leaves it.
 * @param {Answer} answer
 * @param {AnswerEvent} event
 * @param {number} now milliseconds
 * @returns {Answer}
 */
export function after(answer, event, now) {
  switch (event.kind) {
    case "started": {
      const point = { ...event, numTokens: answer.tokens.length };
      return withPoint({ ...answer, position: event.position, firstEpoch: null, sessionId: event.sessionId }, point);
    }
    case "chunk":
      return extended(answer, event, now);
    case "finished":
      return { ...answer, finishReason: event.reason };
    case "summary": {
      const summed = { ...answer, summary: event };
      return event.rollbackToken ? withPoint(summed, { ...event, numTokens: answer.tokens.length }) : summed;
    }
  }
}

/** @returns {Answer} */
export function ended(/** @type {Answer} */ answer, /** @type {AnswerStatus} */ status) {
  return { ...answer, status };
}

/**
 * Return what is left of an answer when everything behind so many of its tokens is gone, about to go on from there.
 * @param {Answer} answer
 * @param {number} numTokens
 * @param {number|null} seed of what follows
 * @param {number} now milliseconds
 * @returns {Answer}
 */
export function cut(answer, numTokens, seed, now) {
  const tokens = answer.tokens.slice(0, numTokens);
  const rounds = answer.rounds
    .filter((round) => round.firstToken < numTokens)
    .map((round) => ({ ...round, numTokens: Math.min(round.numTokens, numTokens - round.firstToken) }));
  return {
    ...newAnswer(seed, now, answer.systemPrompt),
    tokens,
    rounds,
    points: answer.points.filter((point) => point.numTokens <= numTokens),
    sessionId: answer.sessionId,
    numKept: numTokens,
  };
}

/**
 * Return an answer with one more token that nobody generated: an alternative that the reader chose.
 * @param {Answer} answer
 * @param {import("./answer_event.js").Alternative} alternative
 * @returns {Answer}
 */
export function withChosen(answer, alternative) {
  const before = answer.tokens.at(-1);
  const position = before ? before.position + 1 : (answer.points.at(-1)?.position ?? 0);
  /** @type {Token} */
  const token = {
    ...alternative,
    origin: "prompt",
    alternatives: [],
    round: 0,
    position,
    epoch: 0,
    isAfterFailover: false,
  };
  const tokens = [...answer.tokens, token];
  return { ...answer, tokens, numKept: tokens.length };
}

/**
 * Find the last point at or before so many tokens of an answer, and the ids from there to it.
 * @param {Answer} answer
 * @param {number} numTokens
 * @returns {{point: Point, ids: number[]}|null} null where the server has not begun
 */
export function pointAt(answer, numTokens) {
  const point = answer.points.findLast((one) => one.numTokens <= numTokens);
  if (!point) return null;
  return { point, ids: answer.tokens.slice(point.numTokens, numTokens).map((token) => token.id) };
}

/**
 * @param {Answer} answer
 * @param {ChunkEvent} event
 * @param {number} now
 * @returns {Answer}
 */
function extended(answer, event, now) {
  // What was shown already is not shown twice, whatever a resumed stream begins with.
  const numKnown = event.position > 0 ? Math.max(0, answer.position - event.position) : 0;
  const sent = event.tokens.slice(numKnown);
  if (sent.length === 0) return answer;
  const position = event.position + numKnown;
  const firstEpoch = answer.firstEpoch ?? event.epoch;
  const isAfterFailover = event.epoch > firstEpoch;
  const { round, epoch } = event;
  const tokens = sent.map((token, place) => ({ ...token, round, epoch, position: position + place, isAfterFailover }));
  const firstToken = answer.tokens.length;
  /** @type {Round} */
  const entry = {
    round,
    firstToken,
    numTokens: tokens.length,
    numDraftTokens: event.numDraftTokens,
    numAccepted: event.numAccepted,
    seconds: event.seconds,
    isAfterFailover,
  };
  const longer = {
    ...answer,
    status: /** @type {AnswerStatus} */ ("streaming"),
    tokens: [...answer.tokens, ...tokens],
    rounds: [...answer.rounds, entry],
    position: position + tokens.length,
    firstEpoch,
    firstTokenAt: answer.firstTokenAt ?? now,
    lastTokenAt: now,
  };
  const { rollbackToken } = event;
  return rollbackToken
    ? withPoint(longer, { numTokens: longer.tokens.length, position: longer.position, rollbackToken })
    : longer;
}

/**
 * @param {Answer} answer
 * @param {{numTokens: number, rollbackToken: string, position?: number}} point
 * @returns {Answer}
 */
function withPoint(answer, { numTokens, rollbackToken, position = answer.position }) {
  const before = answer.points.filter((one) => one.numTokens < numTokens);
  return { ...answer, points: [...before, { numTokens, position, sessionId: answer.sessionId, rollbackToken }] };
}
