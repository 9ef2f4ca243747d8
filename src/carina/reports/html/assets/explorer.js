// The explorer: one state, one function that computes all from it, one that shows it.

const logit = (p) => Math.log(p / (1 - p));
const expit = (x) => 1 / (1 + Math.exp(-x));

const EXPLORER = DATA.explorer && {
  ...DATA.explorer,
  k: DATA.explorer.findings.length,
  truth: unpack(DATA.explorer.truth, Uint8Array),
  probabilities: unpack(DATA.explorer.probabilities, Float64Array),
  groups: DATA.explorer.groups && unpack(DATA.explorer.groups, Int32Array),
  assessable: unpack(DATA.explorer.assessable, Uint8Array),
};
if (EXPLORER) {
  EXPLORER.rows = EXPLORER.truth.length;
  EXPLORER.inks = Object.fromEntries(EXPLORER.priorities.map(({ name, ink }) => [name, ink]));
  EXPLORER.counts = EXPLORER.findings.map((_, f) => EXPLORER.truth.reduce((sum, t) => sum + (t === f), 0));
}

// That of this set; where it has none of the finding, or nothing else, one to begin with.
function ownPrevalence(finding) {
  const share = EXPLORER.counts[finding] / EXPLORER.rows;
  return share > 0 && share < 1 ? share : 0.1;
}

function shippedState() {
  const f = EXPLORER.flag;
  return { finding: f, threshold: EXPLORER.threshold, prevalence: ownPrevalence(f), miss: 20, alarm: 1 };
}

// Everything that the section shows, from the state alone.
function explore(state) {
  const set = EXPLORER, { finding, threshold, prevalence } = state;
  const cells = countCells(set, finding, threshold);
  const positives = cells.tp + cells.fn, negatives = cells.fp + cells.tn;
  const sensitivity = proportion(cells.tp, positives, cells.effectPositive);
  const specificity = proportion(cells.tn, negatives, cells.effectNegative);
  const weight = state.alarm / state.miss;
  const missed = positives ? cells.fn / positives : 0, alarmed = negatives ? cells.fp / negatives : 0;
  const results = {
    cells, sensitivity, specificity,
    ppv: predictiveValueAt(cells, prevalence, true),
    npv: predictiveValueAt(cells, prevalence, false),
    benefit: netBenefit(cells, prevalence, weight),
    treatAll: prevalence - weight * (1 - prevalence),
    cost: 1000 * (prevalence * missed * state.miss + (1 - prevalence) * alarmed * state.alarm),
    thousand: {
      tp: 1000 * prevalence * (1 - missed), fn: 1000 * prevalence * missed,
      fp: 1000 * (1 - prevalence) * alarmed, tn: 1000 * (1 - prevalence) * (1 - alarmed),
    },
    triage: null,
  };
  if (set.bands && set.normal >= 0) results.triage = exploreTriage(state);
  return results;
}

function exploreTriage(state) {
  const set = EXPLORER, own = state.finding === set.flag;
  const point = own ? state.threshold : set.threshold;
  const prevalence = own ? state.prevalence : ownPrevalence(set.flag);
  // The shipped bands are for the recipe's mix, else for the calibration data's own; moved, the prevalence is a stated one.
  const { mix: assumed, patients } = set.bands;
  const mix = prevalence === ownPrevalence(set.flag) ? assumed : mixAt(assumed ?? patients, set.flag, prevalence);
  const thresholds = {
    routine: bandThreshold(set.bands, "routine", set.normal, mix, 1 - point),
    "fast-track": bandThreshold(set.bands, "fast-track", set.flag, mix, 0),
  };
  const counts = Object.fromEntries(set.priorities.map(({ name }) => [name, new Array(set.k).fill(0)]));
  for (let i = 0; i < set.rows; i++) counts[triageOf(i, set, thresholds, point, set.flag, set.normal)][set.truth[i]] += 1;
  const here = mixAt(set.counts, set.flag, prevalence);
  const ofThousand = Object.fromEntries(set.priorities.map(({ name }) => [
    name, counts[name].map((count, f) => (set.counts[f] ? 1000 * here[f] * count / set.counts[f] : 0)),
  ]));
  return { thresholds, counts, ofThousand, prevalence, own };
}

function startExplorer() {
  if (!EXPLORER) return;
  let state = { ...shippedState(), ...readLink() };
  const show = (changed) => {
    state = { ...state, ...changed };
    const results = explore(state);
    showControls(state);
    showResults(state, results);
    writeLink(state);
    globalThis.carinaExplorer = { state, results };
    document.dispatchEvent(new Event("explored"));
  };
  const number = (id) => (byId(id).value.trim() === "" ? NaN : Number(byId(id).value));
  const onNumber = (id, low, high, change) => byId(id).addEventListener("change", () => {
    const value = number(id);
    if (value >= low && value <= high) show(change(value));
    else showControls(state);
  });
  byId("x-form").addEventListener("submit", (event) => event.preventDefault());
  byId("x-finding").addEventListener("change", () => {
    const finding = EXPLORER.findings.indexOf(byId("x-finding").value);
    const threshold = finding === EXPLORER.flag ? EXPLORER.threshold : 0.5;
    show({ finding, threshold, prevalence: ownPrevalence(finding) });
  });
  byId("x-slider").addEventListener("input", () => show({ threshold: expit(number("x-slider")) }));
  byId("x-prevalence-slider").addEventListener("input", () => show({ prevalence: expit(number("x-prevalence-slider")) }));
  for (const id of ["x-slider", "x-prevalence-slider"]) {
    // A range without steps would move by next to nothing at a key.
    byId(id).addEventListener("keydown", (event) => {
      const step = { ArrowRight: 0.1, ArrowUp: 0.1, ArrowLeft: -0.1, ArrowDown: -0.1, PageUp: 1, PageDown: -1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const range = byId(id), moved = Math.min(Math.max(Number(range.value) + step, Number(range.min)), Number(range.max));
      show(id === "x-slider" ? { threshold: expit(moved) } : { prevalence: expit(moved) });
    });
  }
  onNumber("x-threshold", 0, 1, (threshold) => ({ threshold }));
  onNumber("x-prevalence", 0.01, 99.9, (share) => ({ prevalence: share / 100 }));
  onNumber("x-cost-miss", 1e-9, 1e9, (miss) => ({ miss }));
  onNumber("x-cost-alarm", 0, 1e9, (alarm) => ({ alarm }));
  for (const what of ["sensitivity", "specificity"]) {
    onNumber(`x-ask-${what}`, 0.1, 100, (wish) => ({
      threshold: chooseThreshold(EXPLORER, state.finding, atLeast[what](wish / 100)),
    }));
  }
  byId("x-reset").addEventListener("click", () => show(shippedState()));
  byId("x-cheapest").addEventListener("click", () => {
    const better = atLeast.cost(state.prevalence * state.miss, (1 - state.prevalence) * state.alarm);
    show({ threshold: chooseThreshold(EXPLORER, state.finding, better) });
  });
  dragThreshold((threshold) => show({ threshold }));
  window.addEventListener("hashchange", () => { const told = readLink(); if (told) show(told); });
  new ResizeObserver(() => drawHistogram(state)).observe(byId("x-histogram"));
  const told = location.hash;
  show({});
  if (told && !told.startsWith("#x=")) keepLink(told);
}

function readLink() {
  if (!location.hash.startsWith("#x=")) return null;
  const told = new URLSearchParams(location.hash.slice(1));
  const read = {};
  const place = EXPLORER.findings.indexOf(told.get("x"));
  if (place >= 0) read.finding = place;
  for (const [key, name, low, high] of [
    ["t", "threshold", 0, 1], ["p", "prevalence", 1e-4, 0.999], ["m", "miss", 1e-9, 1e9], ["a", "alarm", 0, 1e9],
  ]) {
    const value = told.has(key) ? Number(told.get(key)) : NaN;
    if (value >= low && value <= high) read[name] = value;
  }
  return read;
}

function writeLink(state) {
  const told = new URLSearchParams({
    x: EXPLORER.findings[state.finding], t: state.threshold, p: state.prevalence, m: state.miss, a: state.alarm,
  });
  // Only once something was changed: a plain page keeps its plain address.
  const shipped = shippedState();
  if (Object.keys(shipped).every((key) => shipped[key] === state[key]) && !location.hash.startsWith("#x=")) return;
  keepLink(`#${told}`);
}

// In a notebook's frame the page has no address of its own to keep anything in.
function keepLink(link) {
  try {
    history.replaceState(null, "", link);
  } catch {
    return;
  }
}

function showControls(state) {
  const write = (id, value) => { if (document.activeElement !== byId(id) || byId(id).type === "range") byId(id).value = value; };
  byId("x-finding").value = EXPLORER.findings[state.finding];
  write("x-slider", logit(Math.min(Math.max(state.threshold, 1e-6), 1 - 1e-6)));
  byId("x-threshold").value = Number(state.threshold.toPrecision(6));
  write("x-prevalence-slider", logit(state.prevalence));
  byId("x-prevalence").value = Number((100 * state.prevalence).toPrecision(4));
  write("x-cost-miss", state.miss);
  write("x-cost-alarm", state.alarm);
  byId("x-slider").setAttribute("aria-valuetext", `threshold ${state.threshold.toPrecision(3)}`);
  byId("x-prevalence-slider").setAttribute("aria-valuetext", percent(state.prevalence));
  const shipped = state.finding === EXPLORER.flag && state.threshold === EXPLORER.threshold;
  byId("x-warning").textContent = shipped
    ? `This is the shipped operating point, chosen on ${EXPLORER.chosenOn}.`
    : "A threshold chosen on this set looks a little better here than it will elsewhere: choose it on calibration data (carina recalibrate).";
}

function showResults(state, results) {
  const { cells } = results;
  for (const key of ["tp", "fn", "fp", "tn"]) byId(`x-${key}`).textContent = whole(cells[key]);
  const share = (name) => {
    const { value, low, high } = results[name], write = (share) => percent(share, 1, [value, low, high]);
    byId(`x-${name}`).textContent = write(value);
    byId(`x-${name}-interval`).textContent = value === null ? "" : ` (${range(results[name], write)})`;
  };
  ["sensitivity", "specificity", "ppv", "npv"].forEach(share);
  const benefit = (value) => signed(value, 4);
  byId("x-benefit").textContent = results.benefit.value === null ? "n/a" : benefit(results.benefit.value);
  byId("x-benefit-interval").textContent = results.benefit.value === null ? "" : ` (${range(results.benefit, benefit)})`;
  byId("x-cost").textContent = whole(results.cost);
  byId("x-cost-interval").textContent = `(flag all: ${whole(1000 * (1 - state.prevalence) * state.alarm)}, flag none: ${whole(1000 * state.prevalence * state.miss)})`;
  byId("x-benefit-words").textContent =
    `Net benefit: true positives per patient, less false alarms weighed ${state.alarm} to ${state.miss} `
    + `(threshold probability ${percent(state.alarm / (state.alarm + state.miss))}). `
    + `Flag all: ${signed(results.treatAll, 4)}; flag none: 0.`;
  drawHistogram(state);
  drawThousand(results);
  drawBands(results);
  const name = EXPLORER.findings[state.finding], many = results.thousand;
  byId("x-said").textContent =
    `${name} called where its probability is at least ${state.threshold.toPrecision(3)}: sensitivity `
    + `${percent(results.sensitivity.value)}, specificity ${percent(results.specificity.value)}.`;
  const counts = wholeOfThousand(many), said = (key) => (many[key] < 9.95 ? few(many[key]) : whole(counts[key]));
  const having = many.tp + many.fn, patients = having < 9.95 ? few(having) : whole(counts.tp + counts.fn);
  byId("x-thousand-words").textContent =
    `Of 1,000 patients ${patients} have ${name} (${percent(state.prevalence)}): ${said("tp")} are found, `
    + `${said("fn")} missed; ${said("fp")} false alarms, ${said("tn")} true negatives.`;
}

function few(number) {
  return number < 9.95 ? number.toFixed(1) : whole(number);
}

const HISTOGRAM = { height: 246, left: 8, right: 8, middle: 112, tall: 84 };

function histogramWidth() {
  return Math.max(280, Math.min(760, byId("x-histogram").clientWidth || 640));
}

function acrossOf(threshold, width) {
  const x = Math.min(Math.max(logit(Math.min(Math.max(threshold, 1e-12), 1 - 1e-12)), EXPLORER.histogram.low), EXPLORER.histogram.high);
  return HISTOGRAM.left + (x - EXPLORER.histogram.low) / (EXPLORER.histogram.high - EXPLORER.histogram.low) * (width - HISTOGRAM.left - HISTOGRAM.right);
}

function drawHistogram(state) {
  const { findings } = EXPLORER, { ticks } = EXPLORER.histogram, h = HISTOGRAM, width = histogramWidth();
  const counts = EXPLORER.histogram.counts[state.finding], bins = counts[0].length;
  const totals = counts.map((side) => Math.max(1, side.reduce((sum, count) => sum + count, 0)));
  const most = Math.max(...counts.flatMap((side, s) => side.map((count) => count / totals[s])));
  const room = width - h.left - h.right, step = room / bins, at = acrossOf(state.threshold, width);
  const parts = [];
  for (let s = 0; s < 2; s++) {
    for (let bin = 0; bin < bins; bin++) {
      if (!counts[s][bin]) continue;
      const tall = Math.max(1, h.tall * Math.sqrt(counts[s][bin] / totals[s] / most));
      const x = h.left + bin * step, called = x + step / 2 >= at;
      const ink = s === 0 ? (called ? "s1" : "s2") : called ? "s5" : "muted";
      parts.push(svg("rect", {
        x: x + 0.5, y: s === 0 ? h.middle - tall : h.middle + 1, width: step - 1, height: tall, class: `f-${ink}`,
      }));
    }
  }
  const marked = state.finding === EXPLORER.flag ? acrossOf(EXPLORER.threshold, width) : -99;
  for (const tick of ticks) {
    const x = acrossOf(tick, width);
    if ((width < 420 && [0.25, 0.75].includes(tick)) || Math.abs(x - marked) < 42) continue;
    parts.push(svg("line", { x1: x, x2: x, y1: h.middle + h.tall + 2, y2: h.middle + h.tall + 7, class: "l-muted" }));
    parts.push(svg("text", { x, y: h.middle + h.tall + 20, "text-anchor": "middle", "font-size": 11.5, class: "f-muted" }, String(tick)));
  }
  const name = findings[state.finding];
  parts.push(svg("text", { x: h.left, y: 14, "font-size": 12, class: "f-ink" }, width < 340 ? `with ${name}` : `with ${name}: found right of the line, missed left of it`));
  parts.push(svg("text", { x: h.left, y: h.height - 8, "font-size": 12, class: "f-ink" }, width < 340 ? `without ${name}` : `without ${name}: false alarms right of the line`));
  if (width >= 560) parts.push(svg("text", { x: width - h.right, y: h.height - 8, "font-size": 12, "text-anchor": "end", class: "f-muted" }, `probability of ${name}`));
  if (state.finding === EXPLORER.flag) {
    const y = h.middle + h.tall + 3;
    parts.push(svg("path", { d: `M${marked},${y} l-5,8 h10 z`, class: "f-ink" }, svg("title", {}, "the shipped operating point")));
    parts.push(svg("text", { x: marked, y: y + 20, "text-anchor": "middle", "font-size": 11.5, "font-weight": "bold", class: "f-ink" }, "shipped"));
  }
  parts.push(svg("line", { x1: at, x2: at, y1: 20, y2: h.middle + h.tall + 2, class: "l-ink", "stroke-width": 2.5 }));
  parts.push(svg("circle", { cx: at, cy: h.middle, r: 9, class: "f-paper l-ink", "stroke-width": 2.5 }));
  parts.push(svg("path", { d: `M${at - 2},${h.middle - 3} l-3,3 l3,3 M${at + 2},${h.middle - 3} l3,3 l-3,3`, fill: "none", class: "l-ink", "stroke-width": 1.5 }));
  const label = `Probabilities of ${name}, of images with it above and without it below; the threshold at ${state.threshold.toPrecision(3)}. The slider and the field beside it move the threshold.`;
  byId("x-histogram").replaceChildren(svg("svg", {
    viewBox: `0 0 ${width} ${h.height}`, width, height: h.height, class: "drawing draggable", role: "img", "aria-label": label,
  }, ...parts));
}

function dragThreshold(move) {
  const holder = byId("x-histogram");
  let dragging = false;
  const to = (event) => {
    const box = holder.getBoundingClientRect(), width = histogramWidth();
    const share = ((event.clientX - box.left) - HISTOGRAM.left) / (width - HISTOGRAM.left - HISTOGRAM.right);
    const { low, high } = EXPLORER.histogram;
    move(expit(low + Math.min(Math.max(share, 0), 1) * (high - low)));
  };
  holder.addEventListener("pointerdown", (event) => {
    dragging = true;
    holder.setPointerCapture(event.pointerId);
    event.preventDefault();
    to(event);
  });
  holder.addEventListener("pointermove", (event) => { if (dragging) to(event); });
  for (const end of ["pointerup", "pointercancel"]) holder.addEventListener(end, () => { dragging = false; });
}

// Whole numbers that are 1,000 together: the largest remainders are rounded up.
function wholeOfThousand(thousand) {
  const keys = ["tp", "fn", "fp", "tn"], counts = {};
  for (const key of keys) counts[key] = Math.floor(thousand[key] + 1e-9);
  const left = 1000 - keys.reduce((sum, key) => sum + counts[key], 0);
  const order = [...keys].sort((one, other) => (counts[one] - thousand[one]) - (counts[other] - thousand[other]));
  order.slice(0, left).forEach((key) => { counts[key] += 1; });
  return counts;
}

// One sign a patient; shape as well as colour tells them apart.
function drawThousand(results) {
  const counts = wholeOfThousand(results.thousand);
  const paths = { tp: "", fn: "", fp: "", tn: "" };
  const signs = {
    tp: (x, y) => `M${x + 1},${y + 1}h6v6h-6z`,
    fn: (x, y) => `M${x + 1},${y + 1}l6,6M${x + 7},${y + 1}l-6,6`,
    fp: (x, y) => `M${x + 1.2},${y + 4}a2.8,2.8 0 1 0 5.6,0a2.8,2.8 0 1 0 -5.6,0`,
    tn: (x, y) => `M${x + 3},${y + 3}h2v2h-2z`,
  };
  let place = 0;
  for (const key of ["tp", "fn", "fp", "tn"]) {
    for (let i = 0; i < counts[key]; i++, place++) paths[key] += signs[key](place % 50 * 8, Math.floor(place / 50) * 8);
  }
  const looks = {
    tp: { class: "f-s1" }, tn: { class: "f-muted" },
    fn: { class: "l-s2", fill: "none", "stroke-width": 2.2 }, fp: { class: "l-s5", fill: "none", "stroke-width": 1.8 },
  };
  const names = { tp: "found", fn: "missed", fp: "false alarm", tn: "true negative" };
  const drawn = svg("svg", { viewBox: "0 0 400 162", class: "drawing", role: "img", "aria-label": Object.entries(names).map(([key, name]) => `${counts[key]} ${name}`).join(", ") },
    ...Object.keys(paths).map((key) => svg("path", { d: paths[key] || "M0,0", ...looks[key] })));
  const keys = Object.keys(names).map((key) => html("li", {},
    svg("svg", { viewBox: "0 0 8 8", width: 12, height: 12, "aria-hidden": "true" }, svg("path", { d: signs[key](0, 0), ...looks[key] })),
    ` ${names[key]} `, html("b", {}, whole(counts[key]))));
  byId("x-thousand").replaceChildren(drawn, html("ul", { class: "keys" }, ...keys));
}

function drawBands(results) {
  const triage = results.triage;
  if (!triage) {
    byId("x-bands-words").textContent = "No bands: the model has none, or knows no Normal.";
    return;
  }
  const PRIORITIES = EXPLORER.priorities.map(({ name }) => name);
  const totals = PRIORITIES.map((name) => triage.ofThousand[name].reduce((sum, count) => sum + count, 0));
  let x = 0;
  const parts = PRIORITIES.map((name, place) => {
    const width = 400 * totals[place] / 1000, part = svg("rect", { x, y: 2, width: Math.max(0, width - 1), height: 26, class: `f-${EXPLORER.inks[name]}` }, svg("title", {}, `${name}: ${few(totals[place])} of 1,000`));
    x += width;
    return width > 0 ? part : null;
  });
  byId("x-bands").replaceChildren(svg("svg", { viewBox: "0 0 400 30", class: "drawing", role: "img", "aria-label": PRIORITIES.map((name, place) => `${name} ${few(totals[place])} of 1,000`).join(", ") }, ...parts));
  const head = html("tr", {}, html("th", { scope: "col" }, "Priority"), html("th", { scope: "col" }, "of 1,000"), ...EXPLORER.findings.map((name) => html("th", { scope: "col" }, `${name} in it`)));
  const rows = PRIORITIES.filter((name, place) => totals[place] > 0 || name !== "not-assessable").map((name) => {
    const parts = triage.ofThousand[name], total = parts.reduce((sum, count) => sum + count, 0);
    return html("tr", {},
      html("th", { scope: "row", class: "nowrap" }, svg("svg", { viewBox: "0 0 10 10", width: 11, height: 11, "aria-hidden": "true" }, svg("rect", { width: 10, height: 10, class: `f-${EXPLORER.inks[name]}` })), ` ${name}`),
      html("td", {}, few(total)),
      ...parts.map((count) => html("td", {}, few(count), html("span", { class: "counts" }, total > 0 ? percent(count / total) : ""))));
  });
  byId("x-bands-table").replaceChildren(html("table", { class: "figures" }, html("caption", { class: "off-screen" }, "Triage bands of 1,000 patients"), html("thead", {}, head), html("tbody", {}, ...rows)));
  const { thresholds } = triage, { bands, flag, findings } = EXPLORER;
  const promised = (name, of, wrong) => (thresholds[name] === null
    ? `No ${name} band can be promised at this prevalence.`
    : `${name}: P(${of}) at least ${Number(thresholds[name].toPrecision(6))}, where with ${percent(bands.confidence, 0)} confidence at most ${percent(bands.promises[name].share, 0)} is ${wrong}.`);
  byId("x-bands-words").textContent = [
    promised("fast-track", findings[flag], `anything but ${findings[flag]}`), promised("routine", "Normal", "not Normal"),
    "Counts are those of this set, at the prevalence above; percentages are shares of the band.",
    triage.own ? "" : `Bands are for ${findings[flag]}: they stay at its shipped operating point and this set's prevalence.`,
  ].join(" ");
}
