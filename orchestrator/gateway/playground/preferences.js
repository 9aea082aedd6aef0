/** What the reader chose: language and theme stay in this browser, the API key in this tab. */

/** @typedef {"system"|"light"|"dark"} Theme */

const THEMES = /** @type {const} */ (["system", "light", "dark"]);

/** @returns {import("./strings.js").Language} */
export function preferredLanguage() {
  const kept = read(() => localStorage, "language");
  if (kept === "en" || kept === "ja") return kept;
  return navigator.language.toLowerCase().startsWith("ja") ? "ja" : "en";
}

export function keepLanguage(/** @type {import("./strings.js").Language} */ language) {
  keep(() => localStorage, "language", language);
}

/** @returns {Theme} */
export function preferredTheme() {
  const kept = read(() => localStorage, "theme");
  return THEMES.find((theme) => theme === kept) ?? "system";
}

/** @returns {Theme} the theme after this one, applied and kept */
export function nextTheme(/** @type {Theme} */ theme) {
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  keep(() => localStorage, "theme", next);
  return next;
}

/** @returns {string} */
export function keptKey() {
  return read(() => sessionStorage, "key") ?? "";
}

export function keepKey(/** @type {string} */ key) {
  keep(() => sessionStorage, "key", key);
}

// Storage may be forbidden; the page works without.

/** @returns {string|null} */
function read(/** @type {() => Storage} */ storage, /** @type {string} */ name) {
  try {
    return storage().getItem(`paceline.${name}`);
  } catch {
    return null;
  }
}

function keep(/** @type {() => Storage} */ storage, /** @type {string} */ name, /** @type {string} */ value) {
  try {
    storage().setItem(`paceline.${name}`, value);
  } catch {
    // as above
  }
}
