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

// Percent that never rounds some to none or most to all; shares that are read together have equally many digits.
// The same as value_text and interval_text of carina.reports.written_numbers; a test holds them equal.
function percent(share, digits = 1, together = [share]) {
  if (share === null || share === undefined) return "n/a";
  const uncertain = together.filter((one) => typeof one === "number")
    .filter((one) => Math.min(Math.abs(one), Math.abs(one - 1)) > 1e-9);
  let more = digits;
  while (more < 7 && uncertain.some((one) => [0, 100].includes(Number((100 * one).toFixed(more))))) more++;
  return `${(100 * share).toFixed(more)}\u00a0%`;
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
