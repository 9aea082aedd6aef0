// Runs before anything is drawn, so that a chosen theme does not flash the other one first.
try {
  const theme = localStorage.getItem("paceline.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden; the system's theme is right then.
}
