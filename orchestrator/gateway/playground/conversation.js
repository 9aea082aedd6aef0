/**
 * A conversation: branches of turns. Pure: nothing is ever changed, each function returns another conversation; what
 * branches have in common is the same object.
 *
 * @typedef {import("./answer.js").Answer} Answer
 * @typedef {import("./answer.js").Point} Point
 *
 * @typedef {{key: number, prompt: string, answer: Answer}} Turn `key` stays while the turn's text only grows
 * @typedef {{number: number, parent: number|null, forkedAt: {turn: number, token: number}|null, turns: Turn[]}} Branch
 * @typedef {{branches: Branch[], current: number, nextNumber: number, nextKey: number}} Conversation
 */

import { textOf } from "./answer.js";

/** @returns {Conversation} */
export function newConversation() {
  const first = { number: 1, parent: null, forkedAt: null, turns: [] };
  return { branches: [first], current: 1, nextNumber: 2, nextKey: 1 };
}

/** @returns {Branch} */
export function branchOf(/** @type {Conversation} */ conversation, number = conversation.current) {
  const branch = conversation.branches.find((one) => one.number === number);
  if (!branch) throw new RangeError(`there is no branch ${number}`);
  return branch;
}

/** @returns {Conversation} */
export function switched(/** @type {Conversation} */ conversation, /** @type {number} */ number) {
  return { ...conversation, current: branchOf(conversation, number).number };
}

/**
 * Return the conversation with a turn behind the first `numTurns` of the current branch; those after it are gone.
 * @param {Conversation} conversation
 * @param {number} numTurns
 * @param {string} prompt
 * @param {Answer} answer
 * @returns {Conversation}
 */
export function withTurn(conversation, numTurns, prompt, answer) {
  const turns = [...branchOf(conversation).turns.slice(0, numTurns), { key: conversation.nextKey, prompt, answer }];
  return withTurns({ ...conversation, nextKey: conversation.nextKey + 1 }, conversation.current, turns);
}

/**
 * Return the conversation with another answer in the place of one; turns after it are gone.
 * @param {Conversation} conversation
 * @param {number} branch
 * @param {number} turn
 * @param {Answer} answer
 * @returns {Conversation}
 */
export function withAnswer(conversation, branch, turn, answer) {
  const turns = branchOf(conversation, branch).turns;
  return withTurns(conversation, branch, [...turns.slice(0, turn), { ...turns[turn], answer }]);
}

/**
 * Return the conversation with a new current branch that has the current one's first turns.
 * @param {Conversation} conversation
 * @param {number} numTurns
 * @param {number} token where in the last of them the branches part; 0 where they part before a prompt
 * @returns {Conversation}
 */
export function forked(conversation, numTurns, token) {
  const { current, nextNumber: number, nextKey } = conversation;
  const turns = branchOf(conversation).turns.slice(0, numTurns);
  const last = turns.at(-1);
  // The last turn's text will be another one: it gets a key of its own.
  if (last && token > 0) turns[turns.length - 1] = { ...last, key: nextKey };
  const turn = token > 0 ? numTurns - 1 : numTurns;
  const branch = { number, parent: current, forkedAt: { turn, token }, turns };
  return {
    branches: [...conversation.branches, branch],
    current: number,
    nextNumber: number + 1,
    nextKey: nextKey + 1,
  };
}

/**
 * Return the point behind which the next turn begins: the last that the server told.
 * @param {Turn[]} turns
 * @returns {Point|null} null where there is none, so that a new session begins
 */
export function lastPoint(turns) {
  for (const turn of turns.toReversed()) {
    const point = turn.answer.points.at(-1);
    if (point) return point;
  }
  return null;
}

/**
 * Say whether a branch may cut its session off behind a point. Otherwise it goes on in a fork: where the session is not
 * its own, or another branch shows text that the session holds behind the point.
 * @param {Conversation} conversation
 * @param {number} number of the branch
 * @param {Point} point
 * @returns {boolean}
 */
export function mayRewind(conversation, number, point) {
  const own = sessionOf(branchOf(conversation, number));
  if (own !== point.sessionId) return false;
  const others = conversation.branches.filter((one) => one.number !== number);
  return !others.some((one) => holdsMore(one, point));
}

/**
 * The messages of turns, as the chat endpoint takes them; an answer that is empty is left out.
 * @param {string} systemPrompt
 * @param {Turn[]} turns
 * @returns {{role: string, content: string}[]}
 */
export function messagesOf(systemPrompt, turns) {
  const messages = systemPrompt ? [{ role: "system", content: systemPrompt }] : [];
  for (const { prompt, answer } of turns) {
    messages.push({ role: "user", content: prompt });
    const text = textOf(answer);
    if (text) messages.push({ role: "assistant", content: text });
  }
  return messages;
}

/**
 * Say whether turns were answered with a system prompt. With another one the server keeps nothing of their session.
 * @param {Turn[]} turns
 * @param {string} systemPrompt
 * @returns {boolean}
 */
export function haveSystemPrompt(turns, systemPrompt) {
  return turns.every((turn) => turn.answer.systemPrompt === systemPrompt);
}

/**
 * Find the branches that part from a turn of a branch.
 * @param {Conversation} conversation
 * @param {number} number of the branch
 * @param {number} turn
 * @returns {{number: number, token: number}[]}
 */
export function forksAt(conversation, number, turn) {
  return conversation.branches
    .filter((one) => one.parent === number && one.forkedAt?.turn === turn)
    .map((one) => ({ number: one.number, token: one.forkedAt?.token ?? 0 }));
}

/** @returns {string} the session that the branch's last answer was generated in */
function sessionOf(/** @type {Branch} */ branch) {
  return branch.turns.findLast((turn) => turn.answer.sessionId)?.answer.sessionId ?? "";
}

/**
 * @param {Branch} branch
 * @param {Point} point
 * @returns {boolean}
 */
function holdsMore(branch, { sessionId, position }) {
  return branch.turns.some((turn) =>
    turn.answer.points.some((point) => point.sessionId === sessionId && point.position > position),
  );
}

/**
 * @param {Conversation} conversation
 * @param {number} number
 * @param {Turn[]} turns
 * @returns {Conversation}
 */
function withTurns(conversation, number, turns) {
  const branches = conversation.branches.map((one) => (one.number === number ? { ...one, turns } : one));
  return { ...conversation, branches };
}
