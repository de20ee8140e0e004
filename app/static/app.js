// Number keys, and a message when the network or the server fails. Every page works without this file.
"use strict";

const LETTERS_GO_HERE = "input, textarea, select, [contenteditable]";

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.repeat || event.target.closest(LETTERS_GO_HERE)) return;
  const option = /^[1-9]$/.test(event.key) && document.querySelector(`[data-key="${event.key}"]`);
  if (option) option.click();
});

function trouble(sentence) {
  const place = document.getElementById("trouble");
  if (place) place.textContent = sentence;
}

document.addEventListener("htmx:beforeRequest", () => trouble(""));
document.addEventListener("htmx:sendError", () => trouble("We can’t reach the server. Check your connection, then try again."));
document.addEventListener("htmx:timeout", () => trouble("The server took too long. Please try again."));
document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  if (status === 403) trouble("Your session has changed. Reload the page, then try again.");
  else if (status === 429) trouble("That was very fast! Wait a moment, then try again.");
  else trouble("Something went wrong on our side. Please try again in a moment.");
});
