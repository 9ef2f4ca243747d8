// Small helpers to build elements; text only ever enters as text.

function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function html(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Percent that never rounds some to none or most to all.
function percent(share, digits = 1) {
  if (share === null || share === undefined) return "n/a";
  for (let more = digits; more < digits + 4; more++) {
    const text = (100 * share).toFixed(more);
    if (share === 0 || share === 1 || (Number(text) > 0 && Number(text) < 100)) return `${text}\u00a0%`;
  }
  return `${(100 * share).toFixed(digits + 3)}\u00a0%`;
}

function range(estimate, write) {
  if (estimate.low === null || estimate.low === undefined) return "no interval";
  const low = write(estimate.low), high = write(estimate.high), between = (low + high).includes("−") ? " to " : "–";
  return low.replace(/\u00a0%$/, "") + between + high.replace(/\u00a0%$/, "");
}

function signed(value, digits) {
  return value.toFixed(digits).replace("-", "−");
}

function whole(number) {
  return Math.round(number).toLocaleString("en-US");
}
