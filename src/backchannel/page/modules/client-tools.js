// Tools that run in the page: an embedding page handles them by listening on the document.

const states = new Map();

/** "offered" (a handler has it), "unhandled" (there is no handler), or null for a call that was not offered. */
export function clientToolState(itemId) {
  return states.get(itemId) ?? null;
}

/**
 * Offers a pending call once, as a "backchannel:client-tool" event whose detail is {name, arguments,
 * respond(result)}. A handler calls preventDefault() and later respond().
 */
export function offerClientTool(item, respond) {
  if (states.has(item.id)) return;
  let answered = false;
  const detail = {
    name: item.name,
    arguments: item.arguments ?? {},
    respond(result) {
      if (answered) return;
      answered = true;
      states.set(item.id, "offered");
      respond(result ?? null);
    },
  };
  states.set(item.id, "unhandled");
  const event = new CustomEvent("backchannel:client-tool", { detail, cancelable: true });
  if (!document.dispatchEvent(event)) states.set(item.id, "offered");
}
