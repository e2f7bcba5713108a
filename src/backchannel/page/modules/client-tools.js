// Tools that run in the page: an embedding page handles them by listening on the document.

const states = new Map();

/** "offered" (somebody works on it), "unhandled" (nobody does), or null for a call not offered here. */
export function clientToolState(itemId) {
  return states.get(itemId) ?? null;
}

/**
 * Offers a pending call once, as a "backchannel:client-tool" event whose detail is {name, arguments,
 * respond(result)}. Whoever handles it calls preventDefault() and later respond().
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
