/**
 * What an error means to the reader, and what to do. Decided by the reason's name, never by the message's text.
 *
 * @typedef {{text: string, advice: string}} Advice
 */

import { RefusedError } from "./api.js";
import { t } from "./strings.js";

/** @returns {Advice} */
export function adviceFor(/** @type {unknown} */ error) {
  if (!(error instanceof RefusedError)) return { text: t("errorBroken"), advice: t("errorBrokenDo") };
  const known = BY_REASON[error.code] ?? BY_TYPE[error.type];
  if (known) return known(error.message);
  return { text: t("errorFailed", { message: error.message }), advice: "" };
}

/** The server does not hold the point that a call named, so that the call can only begin a new session. */
export function isPointGone(/** @type {unknown} */ error) {
  return error instanceof RefusedError && POINT_GONE.has(error.code);
}

const POINT_GONE = new Set([
  "INVALID_ROLLBACK_TOKEN",
  "SESSION_CANCELLED",
  "SESSION_NOT_FOUND",
  "STALE_ROLLBACK_TOKEN",
]);

const stale = () => ({ text: t("errorStale"), advice: t("errorStaleDo") });
const tooLong = () => ({ text: t("errorLong"), advice: t("errorLongDo") });

/** @type {Record<string, (message: string) => Advice>} */
const BY_REASON = {
  CONTEXT_TOO_LONG: tooLong,
  INVALID_ROLLBACK_TOKEN: stale,
  PROMPT_TOO_LONG: tooLong,
  SESSION_CANCELLED: stale,
  SESSION_NOT_FOUND: stale,
  STALE_EPOCH: stale,
  STALE_ROLLBACK_TOKEN: stale,
};

/** @type {Record<string, (message: string) => Advice>} */
const BY_TYPE = {
  authentication_error: () => ({ text: t("errorKeyMissing"), advice: t("errorKeyMissingDo") }),
  invalid_request_error: (message) => ({ text: t("errorRequest", { message }), advice: t("errorRequestDo") }),
  permission_error: (message) => ({ text: t("errorForbidden", { message }), advice: "" }),
};
