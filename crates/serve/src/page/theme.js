// Runs before the page is painted: the choice of light or dark, kept in this browser.
(() => {
  const root = document.documentElement;
  const show = (theme) => theme ? root.dataset.theme = theme : delete root.dataset.theme;
  try { show(localStorage.getItem("theme")); } catch { /* no storage: the system's choice */ }
  addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      show(dark ? "light" : "dark");
      try { localStorage.setItem("theme", root.dataset.theme); } catch { /* for this page alone */ }
    });
  });
})();
