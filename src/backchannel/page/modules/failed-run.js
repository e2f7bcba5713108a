// Why the newest answer of a thread failed: from its `error` event, live, and from its run after a reload.
import { SseParser } from "./sse.js";

const READ_TIMEOUT_MS = 5000;
// Runs whose message may never have been in the thread.
const OF_MESSAGES = ["threads.create", "threads.add_user_message"];
// What the model wrote before these ends was shown, and is only the beginning of an answer.
const CUT_OFF = [
  "answer_truncated",
  "answer_filtered",
  "answer_incomplete",
  "interrupted",
  "model_timeout_between_bytes",
  "model_timeout_total",
];
const LEVELS = { answer_refused: "info", answer_truncated: "warning" };

/** A failure as {message, code, canRetry, level, truncated, cutOff}, from an `error` event or the `error` of a run. */
export function failureOf({ reason, code, message, allow_retry: canRetry }) {
  const cause = reason ?? code;
  return {
    message: message || "Something went wrong while answering.",
    code: cause,
    canRetry: Boolean(canRetry),
    /** As of notices: "danger", or less where everything works as it should. */
    level: LEVELS[cause] ?? "danger",
    /** Whether the model reached its limit of length, and can go on. */
    truncated: cause === "answer_truncated",
    /** Whether the text of the answer, if there is any, is incomplete. */
    cutOff: CUT_OFF.includes(cause),
  };
}

/**
 * Why the answer at the end of a thread failed, or null. `run` is the newest run of the thread, or null;
 * `itemsNewestFirst` are the newest items.
 */
export async function readFailure(api, run, itemsNewestFirst) {
  if (run?.status !== "failed" && run?.status !== "interrupted") return null;
  const events = await readEvents(api, run.id);
  if (events !== null && !endsThread(run, events, itemsNewestFirst)) return null;
  // The event may say more than the general message of the code, which the run has.
  const error = events?.findLast(({ type }) => type === "error") ?? run.error;
  return error ? failureOf(error) : null;
}

// A message that was never in the thread is put back into its box; the end of the thread is of an earlier run.
function endsThread(run, events, itemsNewestFirst) {
  const isMessage = (item) => item?.type === "user_message";
  const own = events.find(({ type, item }) => type === "thread.item.done" && isMessage(item))?.item;
  if (!own) return !OF_MESSAGES.includes(run.operation);
  const newest = itemsNewestFirst.find(isMessage);
  return !newest || newest.id === own.id;
}

// All events of a run that has ended, or null if they cannot be read.
async function readEvents(api, runId) {
  const events = [];
  const parser = new SseParser(({ data }) => events.push(parsed(data)));
  try {
    const response = await api.runEvents(runId, 0, AbortSignal.timeout(READ_TIMEOUT_MS));
    if (!response.ok) return null;
    parser.push(new Uint8Array(await response.arrayBuffer()));
  } catch {
    return null;
  }
  return events.filter(Boolean);
}

function parsed(data) {
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}
