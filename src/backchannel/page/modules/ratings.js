// Feedback about answers, stored for the session of the browser tab.

const memory = new Map();
const key = (itemId) => `backchannel-rating:${itemId}`;

/** "positive", "negative", or null. */
export function ratingOf(itemId) {
  try {
    return sessionStorage.getItem(key(itemId)) ?? memory.get(itemId) ?? null;
  } catch {
    return memory.get(itemId) ?? null;
  }
}

/** Remembers a rating; null forgets it. */
export function rememberRating(itemId, kind) {
  memory.set(itemId, kind);
  try {
    if (kind) sessionStorage.setItem(key(itemId), kind);
    else sessionStorage.removeItem(key(itemId));
  } catch {
    // Without storage, ratings last until the page is closed.
  }
}
