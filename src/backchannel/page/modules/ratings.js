// Feedback about answers, stored for the session of the browser tab.

const kept = new Map();
const key = (itemId) => `backchannel-rating:${itemId}`;

/** "positive", "negative", or null. */
export function ratingOf(itemId) {
  try {
    return sessionStorage.getItem(key(itemId)) ?? kept.get(itemId) ?? null;
  } catch {
    return kept.get(itemId) ?? null;
  }
}

/** Remembers a rating; null forgets it. */
export function rememberRating(itemId, kind) {
  kept.set(itemId, kind);
  try {
    if (kind) sessionStorage.setItem(key(itemId), kind);
    else sessionStorage.removeItem(key(itemId));
  } catch {
    // Without storage, ratings last until the page is closed.
  }
}
