"use strict";

// The theme hides a page until its own script has run, and what is hidden takes no focus.
document.addEventListener("alpine:initialized", () => {
  requestAnimationFrame(() => document.querySelector("[autofocus]")?.focus());
});

// The theme's icons are words in a font of their own: not to be read aloud. And what it wants to be clicked is not always
// a button: the keyboard gets there too.
const NAMES = { dock_to_right: "Menu", close: "Close", more_horiz: "More", unfold_more: "More" };
document.addEventListener("DOMContentLoaded", () => {
  for (const part of document.querySelectorAll("a:not([href])[x-on\\:click], span[x-on\\:click], div[x-on\\:click]")) {
    part.tabIndex = 0;
    part.role = "button";
    const name = NAMES[part.textContent.trim()];
    if (name) part.ariaLabel = name;
  }
  for (const icon of document.querySelectorAll(".material-symbols-outlined:not([role])")) icon.ariaHidden = "true";
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("[x-on\\:click][role=button]")) event.target.click();
});

// A secret that is shown once is copied by a button.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copy);
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    document.execCommand("copy"); // without TLS a browser has no clipboard for us
  }
  button.querySelector("[data-said]").textContent = "Copied";
});
