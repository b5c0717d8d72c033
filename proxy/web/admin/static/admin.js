// What is nicer with a script: parts that renew themselves, and a button that copies.
"use strict";

// A part marked data-live is taken anew from the page it stands on: every so many seconds, or
// ("events") soon after the server says that something happened.
const BRIEFLY = 500;

async function renew(part) {
  if (document.hidden || part.contains(document.activeElement) || part.querySelector("details[open]")) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const next = page.getElementById(part.id);
  if (next) part.replaceChildren(...next.childNodes);
}

for (const part of document.querySelectorAll("[data-live]")) {
  const how = part.dataset.live;
  const again = () => renew(part).catch(() => undefined); // the server is away: the next time
  if (how === "events") {
    let due = 0;
    const soon = () => {
      if (!due) due = setTimeout(() => { due = 0; again(); }, BRIEFLY);
    };
    const stream = new EventSource("/api/v1/events/stream");
    for (const name of ["refusal", "integrity", "upstream", "mirror", "run"]) {
      stream.addEventListener(name, soon);
    }
  } else {
    setInterval(again, Number(how) * 1000);
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
