"use strict";

// What the page is better for, and whole without: this server's address in the examples, and a filter of the operations.

for (const base of document.querySelectorAll(".base")) {
  base.textContent = window.location.origin;
}

const asked = document.getElementById("asked");
const input = document.getElementById("filter");
const found = document.getElementById("found");
const entries = [...document.querySelectorAll("nav li, main article")];
const groups = [...document.querySelectorAll("nav section, main section")].filter((group) =>
  group.querySelector("[data-words]"),
);

function narrow() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const entry of entries) {
    entry.hidden = !words.every((word) => entry.dataset.words.includes(word));
  }
  for (const group of groups) {
    group.hidden = !group.querySelector("[data-words]:not([hidden])");
  }
  const count = document.querySelectorAll("nav li:not([hidden])").length;
  found.textContent = words.length > 0 ? `${count} found` : "";
}

asked.hidden = false;
input.addEventListener("input", narrow);
input.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    input.value = "";
    narrow();
  }
});
// A browser that goes back keeps what was typed.
narrow();
// A link to what the filter hides shows it.
window.addEventListener("hashchange", () => {
  const target = document.getElementById(window.location.hash.slice(1));
  if (target !== null && target.closest("[hidden]") !== null) {
    input.value = "";
    narrow();
    target.scrollIntoView();
  }
});
