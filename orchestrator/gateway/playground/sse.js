/**
 * Server-sent events: text in, the data of events out.
 * https://html.spec.whatwg.org/multipage/server-sent-events.html
 */

/** Puts lines together into events; a line may arrive in pieces. */
export class EventParser {
  #rest = "";
  /** @type {string[]} */
  #data = [];

  /**
   * Take the next piece of the text.
   * @param {string} piece
   * @returns {string[]} the data of the events that it completed; comments, such as keep-alives, are none
   */
  push(piece) {
    const text = this.#rest + piece;
    // A carriage return at the very end may be half of a line's end.
    const whole = text.endsWith("\r") ? text.slice(0, -1) : text;
    const lines = whole.split(/\r\n|\n|\r/);
    this.#rest = lines.pop() + text.slice(whole.length);
    return lines.flatMap((line) => this.#take(line));
  }

  /**
   * @param {string} line
   * @returns {string[]}
   */
  #take(line) {
    if (line === "") {
      const data = this.#data;
      this.#data = [];
      return data.length ? [data.join("\n")] : [];
    }
    if (line.startsWith("data:")) this.#data.push(line.slice(5).replace(/^ /, ""));
    return [];
  }
}

/**
 * Read the data of each event of a response's body.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<string, void>}
 */
export async function* eventsOf(body) {
  const parser = new EventParser();
  const decoder = new TextDecoder();
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => {}); // the connection is let go of, whatever ended the reading
  }
}
