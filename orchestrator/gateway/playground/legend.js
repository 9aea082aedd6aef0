/** What the colours and underlines of tokens mean. */

import { element } from "./element.js";
import { t } from "./strings.js";
import { KINDS } from "./token_view.js";

export function showLegend(/** @type {HTMLElement} */ root) {
  const entries = KINDS.map(({ kind, name, help }) =>
    element(
      "li",
      { title: t(help) },
      element("span", { className: "sample", dataset: { origin: kind }, textContent: t(name) }),
    ),
  );
  root.replaceChildren(...entries);
}
