// The runs of one conversation in their order: the one that is heard, and those that wait for their turn.
import { Turn } from "./turn.js";

// Each waiting run that this page started keeps its connection, because a server can be set up to stop runs whose
// connection ends. But browsers open only six to one server, and the stop button needs one of them.
const MOST_CONNECTIONS = 2;

/**
 * Calls back: begins(turn) when a turn becomes the current one; event(event, turn), reconnecting(yes) and
 * ended(turn, how) as the current one says; dropped(turn) when a waiting one will never have its turn;
 * changed() when what waits did.
 */
export class Lineup {
  #api;
  #connectivity;
  #callbacks;
  // Runs that the server names but cannot tell about.
  #lost = new Set();

  constructor(api, connectivity, callbacks) {
    this.#api = api;
    this.#connectivity = connectivity;
    this.#callbacks = callbacks;
    this.current = null;
    /** The turns to come, in order. */
    this.waiting = [];
  }

  /** Starts a run, for its turn; throws ApiError or NetworkError when the server does not accept it. */
  async start(type, params, key, { text, accepted }) {
    const turn = this.#turn({ text });
    if (this.current === null) this.#begin(turn);
    else this.#setWaiting([...this.waiting, turn]);
    try {
      await turn.start(type, params, key, () => accepted(turn));
    } catch (error) {
      this.#remove(turn);
      throw error;
    }
    if (turn !== this.current && this.waiting.filter((other) => other.connected).length > MOST_CONNECTIONS) turn.rest();
    this.#callbacks.changed();
  }

  /** Takes in which runs of the thread are going on, newest first, and hears the next one if none is heard. */
  learn(runs) {
    const started = new Map(this.waiting.map((turn) => [turn.runId, turn]));
    const found = [...runs]
      .reverse()
      .filter(({ id }) => id !== this.current?.runId && !this.#lost.has(id))
      .map(({ id, text }) => started.get(id) ?? this.#turn({ runId: id, text: text ?? null }));
    const others = this.waiting.filter((turn) => !found.includes(turn));
    // What the server does not name is over and not yet heard, or still on its way there.
    const over = others.filter((turn) => turn.runId !== null);
    this.#setWaiting([...over, ...found, ...others.filter((turn) => turn.runId === null)]);
    if (this.current === null) this.advance();
  }

  /** Ends the current turn; the next one's begins, if there is one. */
  advance() {
    this.current = null;
    const [next, ...others] = this.waiting;
    if (!next) return;
    this.#setWaiting(others);
    this.#begin(next);
  }

  /** The server cannot tell about the current turn's run: it is not to be heard again. */
  forget() {
    this.#lost.add(this.current.runId);
    this.current = null;
  }

  /** Whether somebody else's run is ahead of the current one, which then waits until that was heard. */
  async letOthersPass(threadId) {
    const turn = this.current;
    const runs = await this.#api.activeRuns(threadId);
    if (turn === null || turn !== this.current || turn.takenIn) return false;
    const place = runs.findIndex(({ id }) => id === turn.runId);
    if (place < 0 || place === runs.length - 1) return false;
    turn.unhear();
    this.current = null;
    this.waiting = [turn, ...this.waiting];
    this.learn(runs);
    return true;
  }

  /** Takes back a message that waits; says whether that was in time. Throws ApiError or NetworkError. */
  async withdraw(turn) {
    if (turn.runId === null || turn.withdrawing) return false;
    turn.withdrawing = true;
    this.#callbacks.changed();
    try {
      const run = await this.#api.cancel(turn.runId);
      if (run.started_at !== null || !this.waiting.includes(turn)) return false;
    } finally {
      turn.withdrawing = false;
      this.#callbacks.changed();
    }
    this.#remove(turn);
    return true;
  }

  /** Stops listening to all of them. */
  close() {
    for (const turn of this.waiting) turn.rest();
    this.waiting = [];
    this.current?.close();
  }

  #turn(options) {
    return new Turn(this.#api, this.#connectivity, { ...options, whenOver: (turn) => this.#overBeforeItsTurn(turn) });
  }

  #begin(turn) {
    this.current = turn;
    this.#callbacks.begins(turn);
    turn.hear({
      event: (event) => this.#callbacks.event(event, turn),
      reconnecting: (yes) => this.#callbacks.reconnecting(yes),
      ended: (how) => turn === this.current && this.#callbacks.ended(turn, how),
    });
  }

  #overBeforeItsTurn(turn) {
    // One that was taken in is heard all the same: the end of the one before it is only a little late.
    if (turn.takenIn || turn.withdrawing || !this.waiting.includes(turn)) return;
    this.#remove(turn);
    this.#callbacks.dropped(turn);
  }

  #remove(turn) {
    if (turn === this.current) {
      this.advance();
      return;
    }
    this.#setWaiting(this.waiting.filter((other) => other !== turn));
    turn.rest();
  }

  #setWaiting(turns) {
    this.waiting = turns;
    this.#callbacks.changed();
  }
}
