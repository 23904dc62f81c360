"use strict";

// The only thing here that needs a script: a secret that is shown once is copied by a button.
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
