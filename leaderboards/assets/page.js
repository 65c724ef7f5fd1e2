"use strict";
// What every page has: the theme, the state in the address, and what the other scripts are made with.

const THEMES = ["system", "light", "dark"];
const HUB = "https://huggingface.co";

function storedTheme() {
  try { return localStorage.getItem("theme"); } catch { return null; }  // no storage in some files and frames
}

function showTheme(theme) {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

function element(tag, facts = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(facts)) {
    if (name === "on") for (const [event, run] of Object.entries(value)) made.addEventListener(event, run);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function button(label, run) {
  return element("button", { type: "button", on: { click: run } }, label);
}

function addThemeButton() {
  const current = () => THEMES.includes(storedTheme()) ? storedTheme() : "system";
  const made = button("", () => {
    const next = THEMES[(THEMES.indexOf(current()) + 1) % THEMES.length];
    try { localStorage.setItem("theme", next); } catch { /* it lasts as long as the page, then */ }
    showTheme(next);
    made.textContent = `Theme: ${next}`;
  });
  made.className = "theme";
  made.textContent = `Theme: ${current()}`;
  document.querySelector(".top").append(made);
}

// --- state in the address: #sort=target-jf&dir=down&q=...; tables after the first carry their id before a dot

function readState() {
  const text = location.hash.slice(1);
  return new URLSearchParams(text.includes("=") ? text : "");
}

let written = 0;
function writeState(boards) {
  clearTimeout(written);
  written = setTimeout(() => {
    const state = new URLSearchParams();
    for (const board of boards) for (const [name, value] of board.state()) state.append(board.prefix + name, value);
    const hash = state.size ? `#${state}` : "";
    if (hash === location.hash) return;
    history.replaceState(null, "", hash || location.pathname + location.search);
    tellParent();
  }, 120);
}

function tellParent() {
  if (window.parent !== window) window.parent.postMessage({ queryString: "", hash: location.hash }, HUB);
}

showTheme(storedTheme());
document.addEventListener("DOMContentLoaded", addThemeButton);
