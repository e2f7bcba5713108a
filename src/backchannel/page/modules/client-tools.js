// Tools that run in the page: an embedding page handles them by listening on the document.

const states = new Map();

/** "offered" (a handler has it), "unhandled" (there is no handler), or null for a call that was not offered. */
export function clientToolState(itemId) {
  return states.get(itemId) ?? null;
}

/**
 * Offers the last item, if it is a pending call, as a "backchannel:client-tool" event whose detail is {name, arguments,
 * respond(result)}. A handler calls preventDefault() and later respond(). Each call is offered once, and by one tab;
 * another one offers it only if that one is closed, or has no handler.
 *
 * `read()` reads the thread as the server has it, and `catchUp(newest)` shows what was read; `send(result, accepted)`
 * sends a result, calls `accepted()`, and resolves to whether it was; `changed()` is called when items changed.
 */
export function offerLastCall(items, { read, catchUp, send, changed }) {
  const call = items.pendingQuestion;
  if (call?.type !== "client_tool_call" || states.has(call.id)) return;
  const set = (state) => {
    states.set(call.id, state);
    items.put(call, false);
    changed();
  };
  const respond = (result) => send(result, () => items.put({ ...call, status: "completed" }, false));
  set("offered");
  // On plain http, other than on this machine, browsers have no locks.
  if (!navigator.locks) {
    queueMicrotask(() => offer(call, respond, set));
    return;
  }
  navigator.locks.request(`backchannel-client-tool:${call.id}`, async () => {
    if (await isPending(call.id, read, catchUp)) await offer(call, respond, set);
  });
}

// Another tab may have sent the result of a tool call.
async function isPending(itemId, read, catchUp) {
  const newest = await read().catch(() => null);
  const item = newest?.page.data.find(({ id }) => id === itemId);
  if (newest === null || item?.status === "pending") return true;
  catchUp(newest);
  return false;
}

// Resolves when the server has the result, or if there is no handler.
async function offer(call, respond, set) {
  let handled = false;
  const result = new Promise((resolve) => {
    const detail = {
      name: call.name,
      arguments: call.arguments ?? {},
      respond(value) {
        handled = true;
        resolve(value ?? null);
      },
    };
    const event = new CustomEvent("backchannel:client-tool", { detail, cancelable: true });
    if (!document.dispatchEvent(event)) handled = true;
  });
  if (!handled) {
    set("unhandled");
    return;
  }
  // The tool has run. If its result was not sent, no other tab may run it again while this one is open.
  if (!(await respond(await result))) await new Promise(() => {});
}
