// What is nicer with a script: parts that renew themselves, and a button that copies.
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
