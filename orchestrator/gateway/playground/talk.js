/**
 * The conversation as it goes on: turns that are answered, points that are returned to. It knows the server and the
 * conversation, and nothing of how either is shown.
 *
 * @typedef {import("./answer.js").Point} Point
 * @typedef {import("./answer_event.js").Alternative} Alternative
 * @typedef {import("./api.js").Call} Call
 * @typedef {import("./call.js").ContinuationMode} ContinuationMode
 * @typedef {import("./call.js").Settings} Settings
 * @typedef {import("./conversation.js").Conversation} Conversation
 *
 * @typedef {object} TalkListener
 * @property {() => void} changed the conversation is another one
 * @property {(answer: import("./answer.js").Answer) => void} ended
 * @property {(event: import("./answer_stream.js").TroubledEvent) => void} troubled the answer waits
 * @property {() => void} healed it goes on
 * @property {() => void} renewed a turn had to begin a new session
 * @property {(error: unknown, again: () => void) => void} failed
 *
 * @typedef {object} Recourse what there is to do where a call does not succeed
 * @property {Call|null} [renewal] the call to make where the server has lost the point that the first one names
 * @property {Conversation|null} [undone] what is shown again where the server began nothing, so that no text is lost
 * @property {() => Promise<void>} repeat begins once more
 */

import { after, cut, ended, newAnswer, pointAt, withChosen } from "./answer.js";
import { healingStream } from "./answer_stream.js";
import { isPointGone } from "./advice.js";
import { drawnSeed, onwardCall, resumeCall, turnCall } from "./call.js";
import {
  branchOf,
  forked,
  haveSystemPrompt,
  lastPoint,
  mayRewind,
  newConversation,
  switched,
  withAnswer,
  withTurn,
} from "./conversation.js";

export class Talk {
  conversation = newConversation();
  model = "";
  #api;
  #settings;
  #listener;
  /** @type {{branch: number, turn: number, abort: AbortController, end: Promise<void>}|null} */
  #running = null;
  #isBeginning = false;
  #hurry = () => {};

  /**
   * @param {import("./api.js").Api} api
   * @param {() => Settings} settings
   * @param {TalkListener} listener
   */
  constructor(api, settings, listener) {
    this.#api = api;
    this.#settings = settings;
    this.#listener = listener;
  }

  get isBusy() {
    return this.#running !== null;
  }

  /** Something waits for the end of the answer that it stopped; until it has begun, all else is refused. */
  get isBeginning() {
    return this.#isBeginning;
  }

  /** Stop the answer that comes in; what is there stays, and can be gone on with. */
  async stop() {
    while (this.#running) {
      const { abort, end } = this.#running;
      abort.abort();
      await end;
    }
  }

  /** Try again at once what waits for its next attempt. */
  hurry() {
    this.#hurry();
  }

  async startAnew() {
    await this.#instead(() => {
      this.conversation = newConversation();
      this.#listener.changed();
    });
  }

  switchTo(/** @type {number} */ branch) {
    this.conversation = switched(this.conversation, branch);
    this.#listener.changed();
  }

  /** Say something as the next turn. */
  async send(/** @type {string} */ prompt) {
    await this.#instead(() => this.#takeTurn(this.#turns.length, prompt, "rewind"));
  }

  /** Say something else in the place of a turn: it and what follows is generated anew, in a new branch if it forks. */
  async edit(/** @type {number} */ turn, /** @type {string} */ prompt, /** @type {boolean} */ isFork) {
    await this.#instead(async () => {
      const point = this.#pointBefore(turn);
      if (isFork) this.conversation = forked(this.conversation, turn, 0);
      await this.#takeTurn(turn, prompt, isFork ? "fork" : "rewind", point);
    });
  }

  /** Answer a turn once more. */
  async again(/** @type {number} */ turn) {
    await this.edit(turn, this.#turns[turn].prompt, false);
  }

  /** Go on with an answer that was stopped, broke, or came to its most tokens; turns after it are gone. */
  async goOn(/** @type {number} */ turn) {
    await this.#instead(() => this.#goOn(turn));
  }

  /** Drop what follows so many tokens of an answer, and generate anew from there. */
  async rewind(/** @type {number} */ turn, /** @type {number} */ numTokens) {
    await this.#instead(() => this.#return(turn, numTokens, null, false));
  }

  /**
   * Generate another branch from behind so many tokens of an answer, with an alternative next if one was chosen.
   * @param {number} turn
   * @param {number} numTokens
   * @param {Alternative|null} alternative
   */
  async fork(turn, numTokens, alternative = null) {
    await this.#instead(() => this.#return(turn, numTokens, alternative, true));
  }

  /**
   * Stop the answer that comes in, and do something else. Whoever comes while another waits here is refused: two of them
   * would generate at once, and the second would be about turns that the first one changes.
   * @param {() => Promise<void>|void} act begins its answer before it first waits
   */
  async #instead(act) {
    if (this.#isBeginning) return;
    this.#isBeginning = true;
    try {
      await this.stop();
    } finally {
      this.#isBeginning = false;
    }
    await act();
  }

  get #turns() {
    return branchOf(this.conversation).turns;
  }

  /** @returns {Point|null} the last point before a turn's message */
  #pointBefore(/** @type {number} */ turn) {
    const before = lastPoint(this.#turns.slice(0, turn));
    if (before) return before;
    // The first turn has one behind its own message only; the server cuts the session off before that.
    const own = this.#turns[turn]?.answer.points[0];
    return own ? { ...own, position: own.position - 1 } : null;
  }

  /**
   * @param {number} turn
   * @param {string} prompt
   * @param {ContinuationMode} wanted
   * @param {Point|null} point
   */
  async #takeTurn(turn, prompt, wanted, point = this.#pointBefore(turn)) {
    const settings = this.#settings();
    const seed = settings.seed ?? drawnSeed();
    const before = this.#turns.slice(0, turn);
    const isKept = haveSystemPrompt(before, settings.systemPrompt);
    const mode = isKept ? this.#mode(wanted, point) : "fork"; // so that points of earlier turns stay good
    const callFor = (/** @type {Point|null} */ from) =>
      turnCall(this.model, before, prompt, { settings, seed, point: from, mode });
    const undone = turn < this.#turns.length ? this.conversation : null;
    const start = newAnswer(seed, performance.now(), settings.systemPrompt);
    this.conversation = withTurn(this.conversation, turn, prompt, start);
    await this.#answer(turn, start, callFor(point), {
      // The whole conversation is in the call: where the server has lost the session, it computes it once more.
      renewal: point && callFor(null),
      undone,
      repeat: () => this.#takeTurn(turn, prompt, wanted, point),
    });
  }

  async #goOn(/** @type {number} */ turn) {
    const { answer } = this.#turns[turn];
    const found = pointAt(answer, answer.tokens.length);
    if (found === null) return;
    const { point, ids } = found;
    // A stream goes on from its session's last point only, which is not this one where a later turn, or another branch
    // of the session, came after it. A token that was chosen and not gone on from is in no session yet.
    const isLast = turn === this.#turns.length - 1 && mayRewind(this.conversation, this.conversation.current, point);
    if (!isLast || answer.status === "finished" || ids.length > 0) {
      await this.#return(turn, answer.tokens.length, null, false);
      return;
    }
    const longer = { ...cut(answer, answer.tokens.length, answer.seed, performance.now()), position: answer.position };
    await this.#answer(turn, longer, resumeCall(this.model, point.rollbackToken), { repeat: () => this.#goOn(turn) });
  }

  /**
   * @param {number} turn
   * @param {number} numTokens
   * @param {Alternative|null} alternative
   * @param {boolean} isFork
   */
  async #return(turn, numTokens, alternative, isFork) {
    const { answer } = this.#turns[turn];
    const found = pointAt(answer, numTokens);
    if (found === null) return;
    const settings = this.#settings();
    const seed = settings.seed ?? drawnSeed();
    const mode = this.#mode(isFork ? "fork" : "rewind", found.point);
    const ids = alternative ? [...found.ids, alternative.id] : found.ids;
    const kept = cut(answer, numTokens, seed, performance.now());
    const undone = isFork ? null : this.conversation;
    if (isFork) this.conversation = forked(this.conversation, turn + 1, numTokens);
    const start = alternative ? withChosen(kept, alternative) : kept;
    const position = (start.tokens.at(-1)?.position ?? found.point.position - 1) + 1;
    const call = onwardCall(this.model, ids, { settings, seed, point: found.point, mode });
    const answerOnce = async () => {
      // A branch that is refused is there already.
      await this.#answer(turn, { ...start, position }, call, { undone, repeat });
    };
    const repeat = isFork ? answerOnce : () => this.#return(turn, numTokens, alternative, false);
    await answerOnce();
  }

  /** @returns {ContinuationMode} */
  #mode(/** @type {ContinuationMode} */ wanted, /** @type {Point|null} */ point) {
    if (wanted === "fork" || point === null) return "fork";
    return mayRewind(this.conversation, this.conversation.current, point) ? "rewind" : "fork";
  }

  /**
   * Answer a turn of the current branch.
   * @param {number} turn
   * @param {import("./answer.js").Answer} start
   * @param {Call} call
   * @param {Recourse} recourse
   */
  async #answer(turn, start, call, { renewal = null, undone = null, repeat }) {
    const branch = this.conversation.current;
    const abort = new AbortController();
    const work = this.#read(branch, turn, start, call, renewal, abort.signal);
    const end = work.catch(() => {}).then(() => {});
    this.#running = { branch, turn, abort, end };
    this.#listener.changed();
    try {
      await work;
      this.#end(branch, turn, "finished");
    } catch (error) {
      const answer = this.#answerAt(branch, turn);
      const hasBegun = answer.points !== start.points;
      const hasMore = answer.tokens.length > start.tokens.length;
      this.#end(branch, turn, abort.signal.aborted ? "stopped" : "failed", hasBegun ? null : undone);
      if (abort.signal.aborted) return;
      const again = hasMore ? () => this.#goOn(turn) : repeat;
      this.#listener.failed(error, () => this.#tryAgain(branch, again));
    }
  }

  async #tryAgain(/** @type {number} */ branch, /** @type {() => Promise<void>} */ again) {
    await this.#instead(async () => {
      this.conversation = switched(this.conversation, branch);
      await again();
    });
  }

  async #read(
    /** @type {number} */ branch,
    /** @type {number} */ turn,
    /** @type {import("./answer.js").Answer} */ start,
    /** @type {Call} */ call,
    /** @type {Call|null} */ renewal,
    /** @type {AbortSignal} */ signal,
  ) {
    this.conversation = withAnswer(this.conversation, branch, turn, start);
    const resumed = (/** @type {string} */ rollbackToken) => resumeCall(this.model, rollbackToken);
    const pause = (/** @type {number} */ seconds) => this.#pause(seconds, signal);
    try {
      for await (const event of healingStream(this.#api, call, resumed, signal, pause)) {
        if (event.kind === "troubled") this.#listener.troubled(event);
        else if (event.kind === "healed") this.#listener.healed();
        else this.#take(branch, turn, event);
      }
    } catch (error) {
      if (renewal === null || !isPointGone(error) || this.#answerAt(branch, turn).sessionId) throw error;
      this.#listener.renewed();
      await this.#read(branch, turn, start, renewal, null, signal);
    }
  }

  #take(
    /** @type {number} */ branch,
    /** @type {number} */ turn,
    /** @type {import("./answer_event.js").AnswerEvent} */ event,
  ) {
    const answer = after(this.#answerAt(branch, turn), event, performance.now());
    this.conversation = withAnswer(this.conversation, branch, turn, answer);
    this.#listener.changed();
  }

  #end(
    /** @type {number} */ branch,
    /** @type {number} */ turn,
    /** @type {import("./answer.js").AnswerStatus} */ status,
    /** @type {Conversation|null} */ undone = null,
  ) {
    this.#running = null;
    const answer = ended(this.#answerAt(branch, turn), status);
    this.conversation = undone
      ? { ...undone, current: this.conversation.current } // the reader may have gone to another branch meanwhile
      : withAnswer(this.conversation, branch, turn, answer);
    this.#listener.changed();
    this.#listener.ended(answer);
  }

  #answerAt(/** @type {number} */ branch, /** @type {number} */ turn) {
    return branchOf(this.conversation, branch).turns[turn].answer;
  }

  /** @returns {Promise<void>} */
  #pause(/** @type {number} */ seconds, /** @type {AbortSignal} */ signal) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this.#hurry = () => (clearTimeout(timer), resolve());
      signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
    });
  }
}
