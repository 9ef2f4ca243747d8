"use strict";
// What Python left in the page, decoded once.

const DATA = JSON.parse(document.getElementById("data").textContent);

function unpack(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Kind(bytes.buffer);
}

function byId(id) {
  return document.getElementById(id);
}
