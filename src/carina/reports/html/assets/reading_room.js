// The reading room: the formulas of carina.evaluation.reading_room.waiting_times once more; a test holds them equal.

function meanWaits(room, shares) {
  const utilisation = room.arrivals * room.minutes / (60 * room.readers), load = utilisation * room.readers;
  let allBusy = 1;
  if (utilisation < 1) {
    let blocked = 1;
    for (let readers = 1; readers <= room.readers; readers++) blocked = load * blocked / (readers + load * blocked);
    allBusy = blocked / (1 - utilisation * (1 - blocked));
  }
  const untilFree = room.minutes / room.readers * (room.times === "fixed" ? 0.5 : 1);
  let sum = 0, before = 0;
  return shares.map((share) => {
    sum += share;
    const own = Math.min(sum, 1) * utilisation, wait = own < 1 ? allBusy * untilFree / ((1 - before) * (1 - own)) : null;
    before = own;
    return wait;
  });
}

// Mean turnaround of each finding's images, from the mix of arrivals and the share of each finding at each priority.
function turnaround(room, mix, chances, flagged) {
  const shares = chances[0].map((_, c) => mix.reduce((sum, part, f) => sum + part * chances[f][c], 0));
  const read = (wait) => (wait === null ? null : wait + room.minutes);
  const minutes = meanWaits(room, shares).map(read), [without] = meanWaits(room, [1]).map(read);
  const mean = (weights) => {
    let sum = 0, total = 0;
    for (let c = 0; c < weights.length; c++) {
      if (weights[c] === 0) continue;
      if (minutes[c] === null) return null;
      sum += weights[c] * minutes[c];
      total += weights[c];
    }
    return total > 0 ? sum / total : null;
  };
  return {
    without, shares, minutes,
    findings: mix.map((part, f) => ({
      share: part,
      rate: chances[f].reduce((sum, chance, c) => sum + (c < flagged ? chance : 0), 0),
      withFlag: mean(chances[f]),
      flagged: mean(chances[f].map((chance, c) => (c < flagged ? chance : 0))),
      notFlagged: mean(chances[f].map((chance, c) => (c < flagged ? 0 : chance))),
    })),
  };
}

// The share of each finding's images at each priority of triage, at a threshold and a prevalence of the flagged one.
function bandChances(findings, threshold, prevalence) {
  const { counts } = exploreTriage({ finding: EXPLORER.flag, threshold, prevalence });
  return findings.map((f) => {
    const places = [0, 0, 0, 0];
    for (const { name, place } of EXPLORER.priorities) places[place] += counts[name][f];
    return places.map((count) => count / EXPLORER.counts[f]);
  });
}

function startReadingRoom() {
  const told = DATA.room;
  if (!told) return;
  const set = told.findings.map((name, f) => ({ name, f, ...told.rates[f] })).filter((item) => item.n > 0);
  const flag = set.findIndex((item) => item.f === told.flag);
  const n = set.reduce((sum, item) => sum + item.n, 0);
  const state = { ...told.room, sorting: "flag", prevalence: flag >= 0 ? set[flag].n / n : 0, linked: false };
  byId("r-form").addEventListener("submit", (event) => event.preventDefault());
  for (const [id, key, low, high, factor] of [
    ["r-arrivals", "arrivals", 0.1, 1e4, 1], ["r-minutes", "minutes", 0.1, 600, 1],
    ["r-readers", "readers", 1, 500, 1], ["r-prevalence", "prevalence", 0.01, 99.9, 0.01],
  ]) {
    byId(id).addEventListener("change", () => {
      const value = Number(byId(id).value);
      if (value >= low && value <= high) state[key] = key === "readers" ? Math.round(value) : value * factor;
      show();
    });
  }
  for (const key of ["times", "sorting"]) {
    byId(`r-${key}`).addEventListener("change", () => { state[key] = byId(`r-${key}`).value; show(); });
  }
  if (!EXPLORER || !EXPLORER.bands || EXPLORER.normal < 0) byId("r-sorting").disabled = true;
  byId("r-linked").addEventListener("click", () => { state.linked = !state.linked; show(); });
  document.addEventListener("explored", () => { if (state.linked) show(); });
  if (flag < 0) byId("r-prevalence").disabled = true;
  if (!EXPLORER) byId("r-linked").hidden = true;
  new ResizeObserver(() => show()).observe(byId("r-drawn"));

  let simulated = { asked: "", ranges: null }, waiting = 0;

  const linkedThreshold = () => {
    const explored = globalThis.carinaExplorer;
    return state.linked && explored && explored.state.finding === told.flag ? explored.state.threshold : null;
  };

  // How often each finding is flagged: shipped, or at the explorer's threshold where that is for the same finding.
  function rates() {
    const threshold = linkedThreshold();
    if (threshold === null) return set;
    const { rows, k, truth, probabilities, groups } = EXPLORER;
    return set.map((item) => {
      const called = (i) => probabilities[i * k + told.flag] >= threshold, among = (i) => truth[i] === item.f;
      let hits = 0;
      for (let i = 0; i < rows; i++) hits += among(i) && called(i) ? 1 : 0;
      return { ...item, ...proportion(hits, item.n, designEffect(rows, groups, called, among)) };
    });
  }

  function show() {
    const now = rates(), two = (rate) => [rate, 1 - rate];
    const mix = flag >= 0 ? mixAt(now.map((item) => item.n), flag, state.prevalence) : now.map((item) => item.n / n);
    let result, chances, corners = [];
    if (state.sorting === "bands") {
      chances = bandChances(now.map((item) => item.f), linkedThreshold() ?? EXPLORER.threshold, state.prevalence);
      result = turnaround(state, mix, chances, 2);
    } else {
      chances = now.map((item) => two(item.value));
      result = turnaround(state, mix, chances, 1);
      corners = ["low", "high"].flatMap((own) => ["low", "high"].map((other) =>
        turnaround(state, mix, now.map((item, place) => two((place === flag ? item[own] : item[other]) ?? item.value)), 1)));
    }
    for (const key of ["sorting", "arrivals", "minutes", "readers", "times"]) byId(`r-${key}`).value = state[key];
    byId("r-prevalence").value = Number((100 * state.prevalence).toPrecision(4));
    byId("r-linked").setAttribute("aria-pressed", String(state.linked));
    const utilisation = state.arrivals * state.minutes / (60 * state.readers);
    const busy = `Readers are busy ${percent(Math.min(utilisation, 1), 0)} of the time.`;
    byId("r-note").textContent = utilisation < 1 ? busy
      : `Overloaded: ${state.arrivals} radiographs arrive an hour and ${Number((60 * state.readers / state.minutes).toPrecision(4))} at most can be read, so that waits grow without end. It takes at least ${Math.floor(state.arrivals * state.minutes / 60) + 1} readers.`;
    const bands = state.sorting === "bands", draw = (ranges) => {
      drawRoom(now, result, flag, bands, ranges);
      tableRoom(now, result, corners, bands, ranges, utilisation);
      globalThis.carinaRoom = { state: { ...state }, mix, result, ranges };
    };
    // What is simulated follows once nothing is being moved any more; until then the last ranges are not shown.
    const asked = JSON.stringify([state, mix, chances]);
    if (asked === simulated.asked) draw(simulated.ranges);
    else {
      draw(undefined);
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        simulated = { asked, ranges: simulateRoom(state, mix, chances, bands ? 2 : 1, result) };
        draw(simulated.ranges);
      }, 200);
    }
  }
}

function minutesText(value) {
  if (value === null || value === undefined) return "without end";
  return value < 100 ? `${value.toFixed(1)} min` : value < 1000 ? `${value.toFixed(0)} min` : `${(value / 60).toFixed(0)} h`;
}

function againstText(value, base) {
  if (value === null || base === null) return "";
  const more = value - base;
  return Math.abs(more) < 0.05 ? "as without" : `${signed(more, 1).replace(/^(?=\d)/, "+")} min`;
}

// Bars of the mean; a line goes on to where nine of ten are read, once that was simulated.
function drawRoom(set, result, flag, bands, ranges) {
  const width = Math.max(280, Math.min(760, byId("r-drawn").clientWidth || 640)), KEYS = ["withFlag", "flagged", "notFlagged"];
  const lines = ranges ? ranges.findings.flatMap((item) => KEYS.map((key) => item[key] && item[key].nineOfTen)) : [];
  const times = result.findings.flatMap((item) => KEYS.map((key) => item[key])).concat(result.without, lines).filter((time) => time);
  const most = times.reduce((high, time) => Math.max(high, time), 1) * 1.02, room = width - 12, at = (time) => 6 + time / most * room;
  const parts = [];
  let y = 26;
  if (result.without !== null) parts.push(svg("text", {
    x: at(result.without), y: 14, "font-size": 12, class: "f-muted", "text-anchor": at(result.without) > width / 2 ? "end" : "start",
  }, `mean without flag ${minutesText(result.without)}`));
  const line = parts.length;
  set.forEach((item, place) => {
    const own = result.findings[place], names = groupNames(item, place === flag, bands);
    parts.push(svg("text", { x: 4, y: y + 13, "font-size": 12.5, "font-weight": "bold", class: "f-ink halo" }, item.name));
    y += 20;
    const rows = [
      ["all of them", "withFlag", "ink", 1],
      [names[0], "flagged", place === flag || bands ? "s1" : "s5", own.rate],
      [names[1], "notFlagged", place === flag ? "s2" : "muted", 1 - own.rate],
    ];
    for (const [name, key, ink, share] of rows) {
      if (!(share > 0)) continue;
      const time = own[key], range = ranges && ranges.findings[place][key];
      const long = time === null ? room : Math.max(1, time / most * room);
      parts.push(svg("text", { x: 6, y: y + 11, "font-size": 12, class: "f-ink halo" }, `${name}${share === 1 ? "" : `, ${percent(share)}`}: ${minutesText(time)}`));
      parts.push(svg("rect", { x: 6, y: y + 15, width: long, height: 8, class: `f-${ink}` }));
      if (range) {
        const end = at(range.nineOfTen);
        parts.push(svg("path", { d: `M${6 + long},${y + 19} H${end} M${end},${y + 15} v8`, fill: "none", class: `l-${ink}`, "stroke-width": 1.5 }));
      }
      y += 28;
    }
    y += 4;
  });
  if (result.without !== null) {
    const x = at(result.without);
    // Behind the words, which are where it passes.
    parts.splice(line, 0, svg("line", { x1: x, x2: x, y1: 18, y2: y - 4, class: "l-muted", "stroke-dasharray": "4 3", "stroke-width": 1.3 }));
  }
  parts.push(svg("text", { x: 4, y: y + 12, "font-size": 12, class: "f-muted" }, "bar: mean; line: nine of ten are read within"));
  byId("r-drawn").replaceChildren(svg("svg", {
    viewBox: `0 0 ${width} ${y + 18}`, width, height: y + 18, class: "drawing fixed", role: "img",
    "aria-label": "Turnaround of each finding, of those sorted early and of the others; the figures are in the table below",
  }, ...parts));
  const own = flag >= 0 ? result.findings[flag] : null, normal = set.findIndex((item) => item.name === "Normal");
  const said = [];
  if (own) {
    said.push(`${set[flag].name}: ${minutesText(own.withFlag)} with the flag, ${minutesText(result.without)} without.`);
    if (own.notFlagged !== null && result.without !== null && own.rate < 1) said.push(`${bands ? "Those read later" : "Missed ones"} wait ${againstText(own.notFlagged, result.without).replace("+", "")} longer than without a flag`
      + (!bands && normal >= 0 && result.findings[normal].notFlagged !== null ? ", as do true normals." : "."));
  }
  byId("r-said").textContent = said.join(" ");
}

// The same as in carina.reports.drawing.room_drawing.
function groupNames(item, own, bands) {
  if (bands) return ["fast-track or expedited", "read later"];
  if (own) return ["found", "missed"];
  return ["false alarms", item.name === "Normal" ? "true normals" : "not flagged"];
}

function tableRoom(set, result, corners, bands, ranges, utilisation) {
  const early = bands ? "Those read early" : "Those flagged";
  const names = ["True finding", "Of arrivals", bands ? "Read early" : "Flagged", "Mean", "Against none", "Half within", "Nine of ten", `${early}: mean`, "Those not"];
  const head = html("tr", {}, ...names.map((name) => html("th", { scope: "col" }, name)));
  const within = (part, key) => {
    if (ranges === undefined) return "…";
    return ranges === null || !part ? "–" : minutesText(part[key]);
  };
  const rows = [html("tr", {}, html("th", { scope: "row" }, "any, without a flag"),
    html("td", {}, percent(1, 0)), html("td", {}, "–"), html("td", {}, html("span", { class: "value" }, minutesText(result.without))), html("td", {}, ""),
    html("td", { class: "nowrap" }, within(ranges && ranges.without, "median")), html("td", { class: "nowrap" }, within(ranges && ranges.without, "nineOfTen")), html("td", {}, "–"), html("td", {}, "–"))];
  set.forEach((item, place) => {
    const own = result.findings[place], ends = corners.map((corner) => corner.findings[place].withFlag);
    const range = ends.includes(null) || !ends.length ? "" : `(${Math.min(...ends).toFixed(1)}–${Math.max(...ends).toFixed(1)})`;
    const part = ranges && ranges.findings[place];
    rows.push(html("tr", {},
      html("th", { scope: "row" }, item.name),
      html("td", {}, percent(own.share)),
      html("td", {}, percent(own.rate)),
      html("td", {}, html("span", { class: "value" }, minutesText(own.withFlag)), " ", html("span", { class: "interval" }, range)),
      html("td", { class: "nowrap" }, againstText(own.withFlag, result.without)),
      html("td", { class: "nowrap" }, within(part && part.withFlag, "median")),
      html("td", { class: "nowrap" }, within(part && part.withFlag, "nineOfTen")),
      html("td", { class: "nowrap" }, own.rate > 0 ? minutesText(own.flagged) : "none"),
      html("td", { class: "nowrap" }, own.rate < 1 ? minutesText(own.notFlagged) : "none")));
  });
  const busy = ranges === null ? html("p", { class: "note" }, utilisation >= 1 ? "Nothing is simulated where waits grow without end." : "Half and nine of ten are not simulated where readers are busy more than 95 % of the time: it would take too long to settle.") : null;
  byId("r-table").replaceChildren(html("table", { class: "figures" },
    html("caption", { class: "off-screen" }, "Turnaround by true finding"), html("thead", {}, head), html("tbody", {}, ...rows)), ...(busy ? [busy] : []));
}
