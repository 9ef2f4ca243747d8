// The reading room radiograph by radiograph, as carina.evaluation.reading_room.simulation runs it; a test holds both to
// the exact distribution. One long run instead of many rooms: no error is given for it.

const SIMULATED = 120000;
// Beyond it a room takes too long to forget that it began empty.
const BUSIEST = 0.95;

// Random numbers that are the same each time, evenly in (0, 1). Source: Blackman and Vigna, splitmix32 of xoshiro.
function fixedRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let x = state;
    x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return (((x ^ (x >>> 15)) >>> 0) + 0.5) / 4294967296;
  };
}

// Turnaround of each arrival; `place` is its priority, 0 being read first, and nobody puts a begun reading aside.
function runRoom(arrivals, reading, place, priorities, readers) {
  const n = arrivals.length, done = new Float64Array(n), free = new Float64Array(readers);
  const queues = Array.from({ length: priorities }, () => ({ images: [], head: 0 }));
  let arrived = 0, waiting = 0;
  for (let read = 0; read < n; read++) {
    let reader = 0;
    for (let other = 1; other < readers; other++) if (free[other] < free[reader]) reader = other;
    let now = free[reader];
    if (!waiting) now = Math.max(now, arrivals[arrived]);
    for (; arrived < n && arrivals[arrived] <= now; arrived++, waiting++) queues[place[arrived]].images.push(arrived);
    const queue = queues.find((one) => one.head < one.images.length), image = queue.images[queue.head++];
    waiting -= 1;
    free[reader] = now + reading[image];
    done[image] = free[reader] - arrivals[image];
  }
  return done;
}

// Within what time half and nine of ten are read: unsorted, and of each finding all, those sorted early, and the others.
// Where the formulas are exact these times are as much longer as the formulas' means are.
function simulateRoom(room, mix, chances, flagged, known) {
  const utilisation = room.arrivals * room.minutes / (60 * room.readers);
  if (utilisation > BUSIEST) return null;
  const around = Math.ceil(5 * utilisation / (1 - Math.sqrt(utilisation)) ** 2) + 20 * room.readers;
  const n = SIMULATED + 2 * around, priorities = chances[0].length, random = fixedRandom(1234);
  const arrivals = new Float64Array(n), reading = new Float64Array(n), finding = new Uint8Array(n), place = new Uint8Array(n);
  const drawn = (shares) => {
    let left = random(), last = 0;
    for (let i = 0; i < shares.length; i++) {
      if (shares[i] > 0) last = i;
      if (shares[i] > 0 && left < shares[i]) return i;
      left -= shares[i];
    }
    return last;
  };
  for (let i = 0, now = 0; i < n; i++) {
    now -= Math.log(random()) * 60 / room.arrivals;
    arrivals[i] = now;
    reading[i] = room.times === "fixed" ? room.minutes : -Math.log(random()) * room.minutes;
    finding[i] = drawn(mix);
    place[i] = drawn(chances[finding[i]]);
  }
  const sorted = runRoom(arrivals, reading, place, priorities, room.readers);
  const alone = runRoom(arrivals, reading, new Uint8Array(n), 1, room.readers);
  const exact = room.readers === 1 || room.times === "exponential";
  const within = (times, mean, chosen) => {
    const taken = new Float64Array(SIMULATED);
    let count = 0, sum = 0;
    for (let i = around; i < n - around; i++) {
      if (!chosen(i)) continue;
      taken[count++] = times[i];
      sum += times[i];
    }
    if (!count) return null;
    const rising = taken.subarray(0, count).sort(), factor = exact && mean !== null ? mean * count / sum : 1;
    const at = (share) => factor * rising[Math.floor(share * (count - 1))];
    return { mean: sum / count, median: at(0.5), nineOfTen: at(0.9), count };
  };
  return {
    without: within(alone, known.without, () => true),
    findings: known.findings.map((own, f) => ({
      withFlag: within(sorted, own.withFlag, (i) => finding[i] === f),
      flagged: within(sorted, own.flagged, (i) => finding[i] === f && place[i] < flagged),
      notFlagged: within(sorted, own.notFlagged, (i) => finding[i] === f && place[i] >= flagged),
    })),
  };
}
