// The colour scheme: the system's, until the reader chooses one, which is then remembered.

const KEY = "backchannel-theme";
const systemDark = matchMedia("(prefers-color-scheme: dark)");

/** The scheme in force: "light" or "dark". */
export function currentTheme() {
  return document.documentElement.dataset.theme ?? (systemDark.matches ? "dark" : "light");
}

/** Switches to the other scheme and remembers the choice; returns the new one. */
export function toggleTheme() {
  const theme = currentTheme() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Without storage the choice lasts until the page is closed.
  }
  return theme;
}

/** Calls back whenever the system's scheme changes. */
export function onSystemThemeChange(callback) {
  systemDark.addEventListener("change", callback);
}
