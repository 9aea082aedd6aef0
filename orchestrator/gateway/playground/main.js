/** Puts the page together. */

import { adviceFor } from "./advice.js";
import { Api, BrokenStreamError, RefusedError } from "./api.js";
import { BranchesView } from "./branches_view.js";
import { Composer } from "./composer.js";
import { Controls } from "./controls.js";
import { branchOf } from "./conversation.js";
import { ConversationView } from "./conversation_view.js";
import { byId, element } from "./element.js";
import { showGauges } from "./gauges.js";
import { showLegend } from "./legend.js";
import { Notice } from "./notice.js";
import { Pools } from "./pools.js";
import { keepLanguage, nextTheme, preferredLanguage, preferredTheme } from "./preferences.js";
import { number, speak, spoken, t, writeTexts } from "./strings.js";
import { Talk } from "./talk.js";
import { Timeline } from "./timeline.js";
import { TokenCard } from "./token_card.js";

const EXAMPLES = /** @type {const} */ (["exampleCode", "exampleProse", "exampleTable"]);
/** @type {Partial<Record<import("./answer.js").AnswerStatus, "answerStopped"|"answerFailed">>} */
const TEXT_OF_END = { stopped: "answerStopped", failed: "answerFailed" };
const MODELS_RETRY_SECONDS = 3;

speak(preferredLanguage());

const controls = new Controls(() => {
  pools.poll();
  findModel();
});
const api = new Api(() => controls.key);
const notice = new Notice(byId("notice"));
const card = new TokenCard(byId("card"));
const pools = new Pools(byId("pools-list"), api);
const timeline = new Timeline(byId("timeline"), (round) => view.viewAt(shownTurn())?.tokens.markRound(round));
const branches = new BranchesView(byId("branches"), (branch) => {
  watchedTurn = null;
  if (card.isPinned) card.close();
  talk.switchTo(branch);
});
const composer = new Composer(
  (prompt) => say(prompt),
  () => talk.stop(),
);

const talk = new Talk(api, () => controls.settings, {
  changed: () => redraw(),
  ended: (answer) => {
    if (answer.status === "stopped") notice.hide(); // that it waits is no longer so
    announceEnd(answer);
  },
  troubled: ({ trouble, seconds, hasText }) => {
    const text = trouble === "busy" ? "waitBusy" : hasText || trouble === "broken" ? "resuming" : "waitRefused";
    const now = { text: t("retryNow"), run: () => talk.hurry() };
    notice.wait(seconds, (left) => t(text, { seconds: left }), ...(trouble === "busy" ? [] : [now]));
  },
  healed: () => notice.say(t("resumed")),
  renewed: () => notice.say(t("newSession")),
  failed: (error, again) => {
    const { text, advice } = adviceFor(error);
    notice.fail(text, advice, { text: t("askAgain"), run: again });
  },
});

const view = new ConversationView(byId("turns"), byId("scroll"), {
  edit: (turn, prompt, isFork) => begin(() => talk.edit(turn, prompt, isFork)),
  again: (turn) => begin(() => talk.again(turn)),
  goOn: (turn) => begin(() => talk.goOn(turn)),
  point: (turn, token, at) => pointAt(turn, token, at),
  leave: () => {
    card.leave();
    timeline.markToken(null);
  },
  choose: (turn, token, at, isByKey) => choose(turn, token, at, isByKey),
});

/** @type {number|null} the turn whose rounds are shown; null is the last */
let watchedTurn = null;

function turns() {
  return branchOf(talk.conversation).turns;
}

function shownTurn() {
  return Math.min(watchedTurn ?? Infinity, turns().length - 1);
}

let isDrawn = true;

/** Draw what has changed, once for all changes before the next frame. */
function redraw() {
  if (!isDrawn) return;
  isDrawn = false;
  requestAnimationFrame(() => {
    isDrawn = true;
    view.show(talk.conversation, talk.isBusy);
    branches.show(talk.conversation);
    composer.show(talk.isBusy);
    byId("welcome").hidden = turns().length > 0;
    showRounds();
  });
}

function showRounds() {
  const answer = turns()[shownTurn()]?.answer ?? null;
  showGauges(byId("gauges"), answer);
  timeline.show(answer);
}

/** Begin to generate: what the last answer had to say is over. */
function begin(/** @type {() => void} */ generate) {
  notice.hide();
  if (card.isPinned) card.close();
  watchedTurn = null;
  byId("announcer").textContent = t("answering");
  generate();
}

/** @returns {boolean} whether it is said: not while something else is about to begin */
function say(/** @type {string} */ prompt) {
  if (talk.isBeginning) return false;
  begin(() => talk.send(prompt));
  requestAnimationFrame(() => requestAnimationFrame(() => view.toEnd()));
  return true;
}

/** An example is how a conversation begins; the second of two quick clicks does not stop the answer to the first. */
function sayFirst(/** @type {string} */ prompt) {
  if (turns().length === 0) say(prompt);
}

function announceEnd(/** @type {import("./answer.js").Answer} */ answer) {
  const seconds = number(((answer.lastTokenAt ?? answer.askedAt) - answer.askedAt) / 1000, 1);
  const values = { tokens: answer.tokens.length, seconds };
  byId("announcer").textContent = t(TEXT_OF_END[answer.status] ?? "answerEnded", values);
}

function pointAt(/** @type {number} */ turn, /** @type {number} */ index, /** @type {HTMLElement} */ at) {
  const token = tokenAt(turn, index);
  if (card.isPinned || !token) return;
  watch(turn);
  card.point(token, at);
  timeline.markToken(index);
}

/** A token of the current branch; none where the page still shows what is gone, until the next frame. */
function tokenAt(/** @type {number} */ turn, /** @type {number} */ index) {
  return turns()[turn]?.answer.tokens[index];
}

/** Show the rounds of an answer that is looked at. */
function watch(/** @type {number} */ turn) {
  if (turn === shownTurn() || talk.isBusy) return;
  watchedTurn = turn;
  showRounds();
}

function choose(
  /** @type {number} */ turn,
  /** @type {number} */ index,
  /** @type {HTMLElement} */ at,
  /** @type {boolean} */ isByKey,
) {
  const token = tokenAt(turn, index);
  if (!token) return;
  watch(turn);
  const tokens = view.viewAt(turn)?.tokens;
  const actions = {
    rewind: () => begin(() => talk.rewind(turn, index + 1)),
    fork: () => begin(() => talk.fork(turn, index + 1)),
    forkWith: (/** @type {import("./answer_event.js").Alternative} */ one) => begin(() => talk.fork(turn, index, one)),
    closed: () => {
      tokens?.markChosen(null);
      timeline.markToken(null);
      if (isByKey) tokens?.focus(index);
      card.leave();
    },
  };
  const isGreedy = controls.settings.temperature === 0;
  card.pin(token, at, { actions, isGreedy, takesFocus: isByKey });
  tokens?.markChosen(index);
  timeline.markToken(index);
}

async function findModel() {
  try {
    const [model] = await api.models();
    if (!model) throw new RefusedError(503, { type: "overloaded_error" }, null);
    talk.model = model.id;
    draftModel = model.paceline?.draft ?? "";
    const limits = model.paceline?.limits ?? {};
    controls.limit(Number(limits.max_draft_tokens) || undefined, Number(limits.max_tokens) || undefined);
    showModels();
    if (isWaitingForModel) notice.hide();
    isWaitingForModel = false;
  } catch (error) {
    const isComing = error instanceof BrokenStreamError || (error instanceof RefusedError && error.isPassing);
    const { text, advice } = isComing ? { text: t("errorNoModel"), advice: t("errorNoModelDo") } : adviceFor(error);
    notice.fail(text, advice);
    isWaitingForModel = true;
    if (isComing) setTimeout(findModel, MODELS_RETRY_SECONDS * 1000);
  }
}

let isWaitingForModel = false;
let draftModel = "";

function showModels() {
  const chip = (/** @type {string} */ kind, /** @type {string} */ name) =>
    element(
      "span",
      { className: `model model-${kind}`, title: name },
      element("i", { textContent: t(kind === "draft" ? "draft" : "targetModel") }),
      name,
    );
  byId("models").replaceChildren(
    ...(talk.model ? [chip("target", talk.model)] : []),
    ...(draftModel ? [chip("draft", draftModel)] : []),
  );
}

function showTexts() {
  document.documentElement.lang = spoken();
  writeTexts(document);
  byId("language").textContent = t("language");
  byId("language").setAttribute("aria-label", t("languageHelp"));
  byId("language").lang = spoken() === "en" ? "ja" : "en";
  nameTheme();
  showLegend(byId("legend"));
  byId("examples").replaceChildren(
    ...EXAMPLES.map((name) => {
      const button = element("button", { type: "button", className: "example", textContent: t(name) });
      button.addEventListener("click", () => sayFirst(t(name)));
      return element("li", {}, button);
    }),
  );
  controls.show();
  pools.show();
  showModels();
  view.retell();
  redraw();
}

let theme = preferredTheme();

function nameTheme() {
  const name = t(/** @type {const} */ ({ system: "systemTheme", light: "lightTheme", dark: "darkTheme" })[theme]);
  byId("theme").setAttribute("aria-label", name);
  byId("theme").title = name;
}

byId("theme").addEventListener("click", () => {
  theme = nextTheme(theme);
  nameTheme();
});
byId("language").addEventListener("click", () => {
  speak(spoken() === "en" ? "ja" : "en");
  keepLanguage(spoken());
  showTexts();
});
byId("new").addEventListener("click", () => {
  notice.hide();
  if (card.isPinned) card.close();
  watchedTurn = null;
  talk.startAnew();
  composer.focus();
});
for (const button of document.querySelectorAll(".views button")) {
  button.addEventListener("click", () => {
    document.body.dataset.view = /** @type {HTMLElement} */ (button).dataset.view;
    for (const one of document.querySelectorAll(".views button"))
      one.setAttribute("aria-pressed", String(one === button));
    showRounds();
  });
}
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.isComposing) return;
  if (card.isPinned) card.close();
  else if (talk.isBusy) talk.stop();
});

showTexts();
findModel();
pools.poll();
if (matchMedia("(pointer: fine)").matches) composer.focus();
