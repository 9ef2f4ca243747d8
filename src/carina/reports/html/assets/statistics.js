// The formulas of carina.statistics.intervals and carina.decisions.bands once more; a test holds them equal.

const Z = 1.959963984540054;  // 95 %

function wilson(share, trials) {
  const z2 = Z * Z;
  const centre = (share + z2 / (2 * trials)) / (1 + z2 / trials);
  const half = Math.sqrt(z2 * (share * (1 - share) / trials + z2 / (4 * trials * trials))) / (1 + z2 / trials);
  const low = share === 0 ? 0 : Math.min(Math.max(0, centre - half), share);
  const high = share === 1 ? 1 : Math.max(Math.min(1, centre + half), share);
  return [low, high];
}

// By how much images of one patient inflate the variance of a share; `success` and `among` are functions of a row.
function designEffect(rows, groups, success, among) {
  if (!groups) return 1;
  const sizes = new Map(), totals = new Map();
  let n = 0, hits = 0;
  for (let i = 0; i < rows; i++) {
    if (!among(i)) continue;
    const group = groups[i];
    n += 1;
    sizes.set(group, (sizes.get(group) || 0) + 1);
    if (success(i)) {
      hits += 1;
      totals.set(group, (totals.get(group) || 0) + 1);
    }
  }
  const count = sizes.size;
  if (n === 0 || count === n) return 1;
  const share = hits / n;
  if (count === 1 || hits === 0 || hits === n) {
    let squares = 0;
    for (const size of sizes.values()) squares += size * size;
    return squares / n;
  }
  let squares = 0;
  for (const [group, size] of sizes) {
    const off = (totals.get(group) || 0) - share * size;
    squares += off * off;
  }
  const variance = count / (count - 1) * squares / (n * n);
  return Math.max(1, variance * n / (share * (1 - share)));
}

function proportion(hits, n, effect) {
  if (!n) return { value: null, low: null, high: null };
  const [low, high] = wilson(hits / n, n / effect);
  return { value: hits / n, low, high };
}

function logRatio(cells, positiveCall) {
  let hits = positiveCall ? cells.tp : cells.fn, alarms = positiveCall ? cells.fp : cells.tn;
  let positives = cells.tp + cells.fn, negatives = cells.fp + cells.tn;
  if (hits === 0 || alarms === 0 || positives === hits || negatives === alarms) {
    hits += 0.5; alarms += 0.5; positives += 1; negatives += 1;
  }
  const ratio = (hits / positives) / (alarms / negatives);
  const variance = cells.effectPositive * (1 / hits - 1 / positives) + cells.effectNegative * (1 / alarms - 1 / negatives);
  const spread = Math.exp(Z * Math.sqrt(variance));
  return [ratio / spread, ratio * spread];
}

function predictiveValueAt(cells, prevalence, positiveCall) {
  const positives = cells.tp + cells.fn, negatives = cells.fp + cells.tn;
  const hits = positiveCall ? cells.tp : cells.fn, alarms = positiveCall ? cells.fp : cells.tn;
  if (!positives || !negatives || hits + alarms === 0) return { value: null, low: null, high: null };
  const withFinding = prevalence * hits / positives, without = (1 - prevalence) * alarms / negatives;
  const odds = prevalence / (1 - prevalence);
  let [low, high] = logRatio(cells, positiveCall).map((ratio) => ratio * odds / (1 + ratio * odds));
  let value = withFinding / (withFinding + without);
  if (!positiveCall) [value, low, high] = [without / (withFinding + without), 1 - high, 1 - low];
  return { value, low: Math.min(low, value), high: Math.max(high, value) };
}

// Benefit in true positives per patient; a false alarm weighs as the costs say. The interval joins two Wilson intervals.
function netBenefit(cells, prevalence, weight) {
  const positives = cells.tp + cells.fn, negatives = cells.fp + cells.tn;
  if (!positives || !negatives) return { value: null, low: null, high: null };
  const found = proportion(cells.tp, positives, cells.effectPositive);
  const alarm = proportion(cells.fp, negatives, cells.effectNegative);
  const gain = prevalence, loss = weight * (1 - prevalence), value = gain * found.value - loss * alarm.value;
  return {
    value,
    low: value - Math.hypot(gain * (found.value - found.low), loss * (alarm.high - alarm.value)),
    high: value + Math.hypot(gain * (found.high - found.value), loss * (alarm.value - alarm.low)),
  };
}

// The cells at `probability >= threshold`, with the design effects of both sides.
function countCells(set, finding, threshold) {
  const { rows, k, truth, probabilities, groups } = set;
  let tp = 0, fn = 0, fp = 0, tn = 0;
  for (let i = 0; i < rows; i++) {
    const called = probabilities[i * k + finding] >= threshold;
    if (truth[i] === finding) called ? tp++ : fn++;
    else called ? fp++ : tn++;
  }
  const called = (i) => probabilities[i * k + finding] >= threshold;
  return {
    tp, fn, fp, tn,
    effectPositive: designEffect(rows, groups, called, (i) => truth[i] === finding),
    effectNegative: designEffect(rows, groups, (i) => !called(i), (i) => truth[i] !== finding),
  };
}

// The threshold midway between two seen probabilities that meets the wish, as carina.decisions.operating_point does.
function chooseThreshold(set, finding, better) {
  const { rows, k, truth, probabilities } = set;
  const order = Array.from({ length: rows }, (_, i) => [probabilities[i * k + finding], truth[i] === finding]);
  order.sort((one, other) => one[0] - other[0]);
  const positives = order.reduce((sum, item) => sum + item[1], 0), negatives = rows - positives;
  const candidates = [];
  let below = 0, positiveBelow = 0;
  for (let i = 0; i <= rows; i++) {
    if (i === rows || i === 0 || order[i][0] !== order[i - 1][0]) {
      const value = i === rows ? order[rows - 1][0] + 1e-16 : order[i][0];
      candidates.push({ value, tp: positives - positiveBelow, tn: below - positiveBelow });
    }
    if (i < rows) { below += 1; positiveBelow += order[i][1] ? 1 : 0; }
  }
  const best = better(candidates, positives, negatives);
  if (best <= 0) return candidates[0].value / 2;
  const lower = candidates[best - 1].value, upper = candidates[best].value, middle = (lower + upper) / 2;
  return middle > lower ? middle : Math.min(1, upper);
}

const SLACK = 1e-12;
const atLeast = {
  sensitivity: (target) => (candidates, positives) =>
    candidates.findLastIndex((item) => item.tp / positives >= target - SLACK),
  specificity: (target) => (candidates, _, negatives) =>
    candidates.findIndex((item) => item.tn / negatives >= target - SLACK),
  cost: (miss, alarm) => (candidates, positives, negatives) => {
    const cost = (item) => miss * (1 - item.tp / positives) + alarm * (1 - item.tn / negatives);
    const least = candidates.reduce((low, item) => Math.min(low, cost(item)), Infinity);
    return candidates.findIndex((item) => cost(item) <= least + SLACK * (miss + alarm));
  },
};

// The mix of findings at a prevalence of one of them; the others keep their proportions.
function mixAt(counts, finding, prevalence) {
  const others = counts.reduce((sum, count, place) => sum + (place === finding ? 0 : count), 0);
  return counts.map((count, place) => (place === finding ? prevalence : others ? count * (1 - prevalence) / others : 0));
}

// The upper bound of a Poisson mean by Chernoff's inequality, for a count that need not be whole.
function poissonMeanUpper(count, level) {
  const need = -Math.log(level);
  let low = count, high = count + 2 * need + 2 * Math.sqrt(2 * need * count) + 1;
  for (let step = 0; step < 80; step++) {
    const middle = (low + high) / 2;
    if (middle - count + (count > 0 ? count * Math.log(count / middle) : 0) < need) low = middle;
    else high = middle;
  }
  return high;
}

// The lowest threshold above `above` that keeps the band's promise, by fixed-sequence testing; null where none does.
// Without a mix, at the findings' own frequencies in the calibration data.
function bandThreshold(bands, name, band, mix, above) {
  const promise = bands.promises[name];
  if (!promise) return null;
  const others = bands.tested.map((_, f) => f).filter((f) => f !== band);
  const shares = (part) => {
    const ofOne = mix.map((share, f) => share / bands.tested[f]);
    const unit = Math.max(...others.map((f) => ofOne[f])), most = others.reduce((sum, f) => sum + mix[f], 0);
    return bands.thresholds.map((_, place) => {
      const count = others.reduce((sum, f) => sum + ofOne[f] * promise.beyond[part][f][place], 0);
      const wrong = unit > 0 ? Math.min(unit * poissonMeanUpper(count / unit, promise.level), most) : 0;
      const total = wrong + mix[band] * promise.right[part][place];
      return total > 0 ? wrong / total : 1;
    });
  };
  const [expected, tested] = mix ? [shares(0), shares(1)] : promise.asDrawn;
  const best = Math.min(...expected), near = bands.nearlyBest * best;
  const nearly = expected.map((_, place) => place).filter((place) => expected[place] <= near);
  const otherwise = [nearly[nearly.length - 1], nearly[Math.floor(nearly.length / 2)]];
  let chosen = null;
  for (const [number, way] of bands.starts.entries()) {
    const enough = best ** (1 - way) * promise.share ** way;
    const start = enough > near ? expected.findLastIndex((share) => share <= enough) : otherwise[number];
    for (let place = start; place >= 0; place--) {
      if (tested[place] > promise.share || bands.thresholds[place] <= above) break;
      chosen = Math.min(chosen ?? 1, bands.thresholds[place]);
    }
  }
  return chosen;
}

function triageOf(row, set, thresholds, point, flag, normal) {
  if (set.assessable && !set.assessable[row]) return "not-assessable";
  const at = row * set.k, p = set.probabilities;
  if (thresholds["fast-track"] !== null && p[at + flag] >= thresholds["fast-track"]) return "fast-track";
  let likeliest = 0;
  for (let f = 1; f < set.k; f++) if (p[at + f] > p[at + likeliest]) likeliest = f;
  if (p[at + flag] >= point || likeliest !== normal) return "expedite";
  return thresholds.routine !== null && p[at + normal] >= thresholds.routine ? "routine" : "secondary-review";
}
