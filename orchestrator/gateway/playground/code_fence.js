/** Which tokens of a text stand in a fenced block of code. Pure, and decided once for each token as it comes. */

const FENCE = "```";

export class CodeFence {
  #isInside = false;
  #line = "";

  /**
   * Take the next token's text.
   * @param {string} text
   * @returns {boolean} whether the token is code; the fences themselves are
   */
  push(text) {
    const wasInside = this.#isInside;
    for (const character of text) {
      if (character === "\n") {
        this.#line = "";
        continue;
      }
      this.#line += character;
      if (this.#line.trimStart() === FENCE) this.#isInside = !this.#isInside;
    }
    return wasInside || this.#isInside;
  }
}
