// The worklist: keys, arrivals that appear by themselves, and images that are dropped on the page.
"use strict";

const lines = () => [...document.querySelectorAll("#lines a.open")];
const typing = (target) => target.closest("input:not([type=radio]), select, textarea") !== null;

function move(step) {
  const all = lines();
  if (all.length === 0) return;
  const now = all.indexOf(document.activeElement);
  const next = now < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, now + step));
  all[next].focus();
  all[next].closest("tr").scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && event.target.id === "q") {
    event.target.blur();
    return;
  }
  if (typing(event.target)) return;
  if (event.key === "j" || event.key === "ArrowDown") move(1);
  else if (event.key === "k" || event.key === "ArrowUp") move(-1);
  else if (event.key === "/") document.getElementById("q").focus();
  else return;
  event.preventDefault();
});

// What has just arrived is shown for a moment, and the line that has the focus keeps it.
let known = new Set(lines().map((link) => link.pathname));
let focused = null;
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id !== "lines") return;
  focused = document.activeElement?.matches("a.open") ? document.activeElement.pathname : null;
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "lines") return;
  for (const link of lines()) {
    if (!known.has(link.pathname)) link.closest("tr").classList.add("arrived");
    if (link.pathname === focused) link.focus();
  }
  known = new Set(lines().map((link) => link.pathname));
});

// A session that is only kept by the page's own clock ends.
document.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.triggeringEvent?.type === "refresh") event.detail.headers["X-By-Itself"] = "1";
});

let late = 0;
function refresh() {
  clearTimeout(late);
  late = setTimeout(() => {
    // Further pages stay as they are while somebody reads them.
    if (document.querySelector("[data-later]") || document.hidden) return;
    htmx.trigger("#filters", "refresh");
  }, 150);
}
const news = new EventSource("/worklist/events");
news.addEventListener("changed", (event) => {
  const counts = JSON.parse(event.data);
  for (const place of document.querySelectorAll("[data-count]")) {
    place.textContent = (counts[place.dataset.count] ?? 0).toLocaleString("en");
  }
  refresh();
});
document.addEventListener("visibilitychange", () => document.hidden || refresh());
addEventListener("pagehide", () => news.close());
// Waiting times go on without any news.
setInterval(refresh, 60_000);

// Files are sent one after the other, each as it is.
const drop = document.getElementById("drop");
const uploads = document.getElementById("uploads");
let depth = 0;
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragenter", (event) => {
  if (hasFiles(event)) drop.hidden = ++depth === 0;
});
addEventListener("dragleave", (event) => {
  if (hasFiles(event)) drop.hidden = --depth <= 0;
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  drop.hidden = true;
  send(event.dataTransfer.files);
});
document.getElementById("files").addEventListener("change", (event) => {
  send(event.target.files);
  event.target.value = "";
});

function tell(words, failed) {
  const line = document.createElement("p");
  line.textContent = words;
  if (failed) line.className = "failed";
  uploads.append(line);
  line.scrollIntoView({ block: "nearest" });
  return line;
}

async function send(files) {
  uploads.hidden = false;
  uploads.replaceChildren();
  let taken = 0;
  const summary = tell("", false);
  for (const [place, file] of [...files].entries()) {
    summary.textContent = `Adding ${place + 1} of ${files.length} …`;
    try {
      const answer = await fetch("/upload", {
        method: "POST",
        body: file,
        headers: {
          Accept: "application/json",
          "Content-Type": "application/octet-stream",
          "X-CSRF-Token": document.body.dataset.csrf,
          "X-File-Name": encodeURIComponent(file.name),
        },
      });
      const said = await answer.json();
      taken += said.taken ?? 0;
      for (const one of said.files ?? [said]) {
        if (one.error) tell(`${file.name}: ${one.error.message}`, true);
      }
    } catch {
      tell(`${file.name}: the site did not answer. Send it again.`, true);
    }
  }
  summary.textContent = `${taken} ${taken === 1 ? "image is" : "images are"} stored.`;
}
