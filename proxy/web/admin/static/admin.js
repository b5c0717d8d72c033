// What is nicer with a script: parts that renew themselves, a frequency that is read aloud while
// it is written, and a button that copies.
"use strict";

// A part marked data-live is taken anew from the page it stands on: every so many seconds, or
// ("events") soon after the server says that something happened.
const BRIEFLY = 500;

function rests(part) {
  return part.contains(document.activeElement) || part.querySelector("details[open]");
}

async function renew(parts) {
  const waiting = parts.filter((part) => !rests(part));
  if (document.hidden || !waiting.length) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of waiting) {
    const next = page.getElementById(part.id);
    if (next && !rests(part)) part.replaceChildren(...next.childNodes);
  }
}

const again = (parts) => renew(parts).catch(() => undefined); // the server is away: the next time
const told = [...document.querySelectorAll('[data-live="events"]')];
const timed = [...document.querySelectorAll("[data-live]")].filter((part) => !told.includes(part));

for (const part of timed) setInterval(() => again([part]), Number(part.dataset.live) * 1000);

if (told.length) {
  let due = 0;
  const soon = () => {
    due ||= setTimeout(() => { due = 0; again(told); }, BRIEFLY);
  };
  const stream = new EventSource("/api/v1/events/stream");
  for (const name of ["refusal", "integrity", "upstream", "mirror", "run"]) {
    stream.addEventListener(name, soon);
  }
}

const frequency = document.getElementById("field-frequency");
const reading = document.getElementById("reading-frequency");

async function readAloud() {
  const text = frequency.value.trim();
  const query = text ? `?text=${encodeURIComponent(text)}` : "";
  const answer = await fetch(`/api/v1/frequency${query}`);
  const said = await answer.json();
  if (text !== frequency.value.trim()) return; // written on meanwhile
  reading.textContent = answer.ok ? `Runs: ${said.aloud}.` : said.detail;
}

if (frequency && reading) {
  let due = 0;
  frequency.addEventListener("input", () => {
    clearTimeout(due);
    due = setTimeout(() => readAloud().catch(() => undefined), BRIEFLY);
  });
}

for (const snippet of navigator.clipboard ? document.querySelectorAll(".snippet") : []) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(snippet.querySelector("pre").textContent);
    button.textContent = "Copied";
  });
  snippet.append(button);
}
