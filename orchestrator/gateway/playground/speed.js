/**
 * Numbers of an answer. Pure.
 *
 * @typedef {import("./answer.js").Answer} Answer
 * @typedef {object} Speed a number is null where nothing tells it yet
 * @property {number} numTokens of this stream
 * @property {number|null} tokensPerSecond
 * @property {number|null} targetOnly tokens a second that the target alone would make
 * @property {boolean} isEstimate `targetOnly` comes from the rounds' times, not from the orchestrator
 * @property {number|null} acceptance share of the draft tokens that were accepted
 * @property {number} numDrafted
 * @property {number} numAccepted
 * @property {number|null} tokensPerRound
 * @property {number|null} firstTokenSeconds
 */

/** @returns {Speed} */
export function speedOf(/** @type {Answer} */ answer) {
  const rounds = answer.rounds.filter((round) => round.firstToken >= answer.numKept && round.seconds !== null);
  const numDrafted = sum(rounds.map((round) => round.numDraftTokens));
  const numAccepted = sum(rounds.map((round) => round.numAccepted));
  const numTokens = answer.tokens.length - answer.numKept;
  const known = answer.summary?.targetOnlyTokensPerSecond ?? null;
  return {
    numTokens,
    tokensPerSecond: tokensPerSecond(answer, numTokens),
    targetOnly: known ?? targetOnly(rounds),
    isEstimate: known === null,
    acceptance: numDrafted ? numAccepted / numDrafted : null,
    numDrafted,
    numAccepted,
    tokensPerRound: rounds.length ? sum(rounds.map((round) => round.numTokens)) / rounds.length : null,
    firstTokenSeconds: firstTokenSeconds(answer),
  };
}

/** @returns {number|null} */
function tokensPerSecond(/** @type {Answer} */ answer, /** @type {number} */ numTokens) {
  const { summary, firstTokenAt, lastTokenAt } = answer;
  if (summary?.secondsPerToken) return 1 / summary.secondsPerToken;
  if (firstTokenAt === null || lastTokenAt === null || lastTokenAt <= firstTokenAt) return null;
  // The first chunk's tokens came at once; the clock begins with them.
  const first = answer.rounds.find((round) => round.firstToken >= answer.numKept)?.numTokens ?? 0;
  return numTokens > first ? ((numTokens - first) * 1000) / (lastTokenAt - firstTokenAt) : null;
}

/**
 * Alone, the target would make one token in each of its passes. A pass over a proposal takes a little longer than one
 * over a single token, so that this estimate is on the low side.
 * @param {import("./answer.js").Round[]} rounds
 * @returns {number|null}
 */
function targetOnly(rounds) {
  const passes = rounds
    .slice(1) // the first holds the prompt's
    .map(({ seconds }) => (seconds ? seconds.verify + seconds.queue + seconds.commit : 0))
    .filter((seconds) => seconds > 0)
    .sort((one, other) => one - other);
  const median = passes[Math.floor(passes.length / 2)];
  return median ? 1 / median : null;
}

/** @returns {number|null} */
function firstTokenSeconds(/** @type {Answer} */ { summary, firstTokenAt, askedAt }) {
  if (summary?.timeToFirstToken) return summary.timeToFirstToken;
  return firstTokenAt === null ? null : (firstTokenAt - askedAt) / 1000;
}

/** @returns {number} */
function sum(/** @type {number[]} */ numbers) {
  return numbers.reduce((total, one) => total + one, 0);
}
