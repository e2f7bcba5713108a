// Runs before the first paint, as a classic script, so that a remembered theme never flashes.
(() => {
  try {
    const theme = localStorage.getItem("backchannel-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Without storage, the system's scheme is used.
  }
})();
