// Additions to pages that work without them: copying a digest, and following a run while it works.
"use strict";

function offerCopy(element) {
  const name = element.dataset.name || "the full digest";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.title = "Copy " + name;
  button.setAttribute("aria-label", button.title);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(element.dataset.copy);
      button.classList.add("done");
      button.setAttribute("aria-label", "Copied");
      setTimeout(() => {
        button.classList.remove("done");
        button.setAttribute("aria-label", button.title);
      }, 2500);
    } catch {
      element.textContent = element.dataset.copy; // no clipboard here: show it whole, so that it can be selected
    }
  });
  const held = document.createElement("span"); // digest and button stay on one line
  held.className = "held";
  element.replaceWith(held);
  held.append(element, button);
}

function show(section, run) {
  for (const [name, value] of Object.entries(run)) {
    const place = section.querySelector('[data-show="' + name + '"]');
    if (place && typeof value === "string" && place.textContent !== value) place.textContent = value;
  }
  const bar = section.querySelector("progress");
  if (!bar) return;
  if (run.total > 0) {
    bar.max = run.total;
    bar.value = run.done;
  } else {
    bar.removeAttribute("value");
  }
}

async function follow(section) {
  const every = 1500;
  let failures = 0;
  const turn = async () => {
    try {
      const answer = await fetch(section.dataset.follow, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const run = await answer.json();
      failures = 0;
      if (run.finished || run.state !== section.dataset.state) return window.location.reload();
      show(section, run);
    } catch {
      failures += 1; // the server may be restarting: ask again, more and more seldom, and then leave it to the reader
    }
    if (failures < 8) setTimeout(turn, every * 2 ** failures);
  };
  setTimeout(turn, every);
}

document.querySelectorAll("[data-copy]").forEach(offerCopy);
document.querySelectorAll("[data-follow]").forEach(follow);
