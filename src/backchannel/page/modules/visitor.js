// Whether the server will know this browser again.

// Two tabs that are opened at once must not become two visitors: the cookie of one would replace that of the other.
const LOCK = "backchannel-visitor";

/** Makes this browser known to the server, if it is not; resolves to whether it keeps the server's cookie. */
export function introduce(api) {
  const visit = async () => {
    const { known } = await api.visit();
    return known || (await api.visit()).known;
  };
  // Plain http pages have no locks.
  return navigator.locks ? navigator.locks.request(LOCK, visit) : visit();
}
