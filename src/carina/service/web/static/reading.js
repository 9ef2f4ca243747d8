// The reading page. Cornerstone3D shows the radiograph; what lies over it is drawn here, at the places that it gives.
import {
  Enums, PanTool, RenderingEngine, ToolEnums, ToolGroupManager, WindowLevelTool, ZoomTool,
  addTool, imageLoader, init, initTools, metaData, utilities,
} from "./vendor/cornerstone.js";

const $ = (selector, inside = document) => inside.querySelector(selector);
const $$ = (selector) => [...document.querySelectorAll(selector)];
const SCHEME = "carina";
const TOOLS = { WindowLevel: WindowLevelTool, Pan: PanTool, Zoom: ZoomTool };
const FOR = [255, 140, 20], AGAINST = [60, 150, 255];
// A map whose strongest cell is weaker than this stays pale: noise is not blown up to full colour.
const SMALLEST_FULL = 0.1;
const shapes = new Map();

function load(imageId) {
  const promise = (async () => {
    const answer = await fetch(`/images/${imageId.slice(SCHEME.length + 1)}/pixels`);
    if (!answer.ok) throw new Error(await words(answer));
    const [rows, columns, largest, black, white] = ["X-Height", "X-Width", "X-Largest", "X-Black", "X-White"]
      .map((name) => Number(answer.headers.get(name)));
    const pixels = new Uint16Array(await answer.arrayBuffer());
    shapes.set(imageId, { rows, columns, black, white });
    return {
      imageId, rows, columns, height: rows, width: columns,
      minPixelValue: 0, maxPixelValue: largest, slope: 1, intercept: 0, invert: false,
      windowCenter: (black + white) / 2, windowWidth: white - black, voiLUTFunction: Enums.VOILUTFunctionType.LINEAR,
      color: false, rgba: false, numberOfComponents: 1, photometricInterpretation: "MONOCHROME2",
      columnPixelSpacing: 1, rowPixelSpacing: 1, sizeInBytes: pixels.byteLength, dataType: "Uint16Array",
      getPixelData: () => pixels,
      voxelManager: utilities.VoxelManager.createImageVoxelManager({
        scalarData: pixels, width: columns, height: rows, numberOfComponents: 1,
      }),
    };
  })();
  return { promise };
}

async function words(answer) {
  try {
    return (await answer.json()).error.message;
  } catch {
    return "The radiograph could not be loaded. Load the page again.";
  }
}

function describe(type, imageId) {
  const shape = shapes.get(imageId);
  if (!shape) return undefined;
  if (type === "imagePixelModule") {
    return {
      samplesPerPixel: 1, photometricInterpretation: "MONOCHROME2", rows: shape.rows, columns: shape.columns,
      bitsAllocated: 16, bitsStored: 16, highBit: 15, pixelRepresentation: 0,
    };
  }
  if (type === "imagePlaneModule") {
    return {
      rows: shape.rows, columns: shape.columns, imageOrientationPatient: [1, 0, 0, 0, 1, 0],
      rowCosines: [1, 0, 0], columnCosines: [0, 1, 0], imagePositionPatient: [0, 0, 0], frameOfReferenceUID: imageId,
      rowPixelSpacing: 1, columnPixelSpacing: 1, pixelSpacing: [1, 1],
    };
  }
  if (type === "generalSeriesModule") return { modality: "DX" };
  if (type === "voiLutModule") {
    return { windowCenter: [(shape.black + shape.white) / 2], windowWidth: [shape.white - shape.black] };
  }
  if (type === "modalityLutModule") return { rescaleSlope: 1, rescaleIntercept: 0 };
  return undefined;
}

// Two pictures at most need no more.
init({ rendering: { webGlContextCount: 1 } });
initTools();
imageLoader.registerImageLoader(SCHEME, load);
metaData.addProvider(describe, 10_000);
const engine = new RenderingEngine("reading");
const group = ToolGroupManager.createToolGroup("reading");
for (const tool of Object.values(TOOLS)) {
  addTool(tool);
  group.addTool(tool.toolName);
}

const { MouseBindings } = ToolEnums;
function dragWith(name) {
  for (const tool of Object.values(TOOLS)) group.setToolPassive(tool.toolName, { removeAllBindings: true });
  for (const [key, tool] of Object.entries(TOOLS)) {
    const bindings = [];
    if (key === name) bindings.push({ mouseButton: MouseBindings.Primary });
    if (key === "Pan") bindings.push({ mouseButton: MouseBindings.Auxiliary });
    if (key === "Zoom") {
      bindings.push({ mouseButton: MouseBindings.Secondary }, { mouseButton: MouseBindings.Wheel }, { numTouchPoints: 2 });
    }
    if (bindings.length > 0) group.setToolActive(tool.toolName, { bindings });
  }
  for (const button of $$("[data-drag]")) button.setAttribute("aria-pressed", String(button.dataset.drag === name));
}
dragWith("WindowLevel");

// One pane for this study, and another one for an earlier image beside it.
const panes = new Map();

async function show(pane, number) {
  const element = $(".view", pane), wait = $(".wait", pane);
  const id = pane.dataset.pane ?? (pane.dataset.pane = `pane-${panes.size}`);
  if (!panes.has(id)) {
    engine.enableElement({ viewportId: id, type: Enums.ViewportType.STACK, element });
    group.addViewport(id, engine.id);
    element.addEventListener(Enums.Events.IMAGE_RENDERED, () => drawOver(pane));
    element.addEventListener(Enums.Events.VOI_MODIFIED, () => sayWindow(pane));
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    panes.set(id, pane);
  }
  const imageId = `${SCHEME}:${number}`;
  pane.dataset.image = number;
  wait.hidden = false;
  wait.textContent = "Loading …";
  try {
    // Loaded first, so that an error is said here and not to the console.
    await imageLoader.loadAndCacheImage(imageId);
    await viewport(pane).setStack([imageId]);
    viewport(pane).setProperties({ voiRange: firstWindow(imageId), invert: false });
    viewport(pane).resetCamera();
    viewport(pane).render();
    wait.hidden = true;
    pane.dataset.ready = "";
    if (pane === main()) await loadEvidence(number);
    sayWindow(pane);
  } catch (error) {
    wait.textContent = error?.error?.message ?? error?.message ?? String(error);
  }
}

// The window of the image's header. What lies outside it is there, and a drag shows it.
function firstWindow(imageId) {
  const { black, white } = shapes.get(imageId);
  return { lower: black, upper: white };
}
const viewport = (pane) => engine.getViewport(pane.dataset.pane);
const main = () => $(".pane");
const ready = () => $$(".pane[data-ready]");

function sayWindow(pane) {
  const { lower, upper } = viewport(pane).getProperties().voiRange ?? {};
  if (lower === undefined) return;
  const said = `W ${Math.round(upper - lower)}  L ${Math.round((upper + lower) / 2)}`;
  if ($("#said").value !== said) $("#said").value = said;
}

// Image pixels to pixels of the pane.
function placed(pane, x, y) {
  const imageId = `${SCHEME}:${pane.dataset.image}`;
  return viewport(pane).worldToCanvas(utilities.imageToWorldCoords(imageId, [x, y]));
}

const actions = {
  fit(pane) {
    viewport(pane).resetCamera();
  },
  one(pane) {
    const [a, b] = [placed(pane, 0, 0), placed(pane, 100, 0)];
    const scale = Math.hypot(b[0] - a[0], b[1] - a[1]) / 100;
    viewport(pane).setZoom(viewport(pane).getZoom() / (scale * devicePixelRatio));
  },
  invert(pane) {
    const invert = !viewport(pane).getProperties().invert;
    viewport(pane).setProperties({ invert });
    $("[data-do=invert]").setAttribute("aria-pressed", String(invert));
  },
  reset(pane) {
    const voiRange = firstWindow(`${SCHEME}:${pane.dataset.image}`);
    viewport(pane).setProperties({ voiRange, invert: false });
    viewport(pane).resetCamera();
    $("[data-do=invert]").setAttribute("aria-pressed", "false");
  },
};

function act(name) {
  if (name === "evidence" || name === "lungs") {
    const button = $(`[data-do=${name}]`);
    if (!button || button.disabled) return;
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    if (name === "evidence" && $("#legend")) $("#legend").hidden = !pressed("evidence");
    ready().forEach(drawOver);
    return;
  }
  for (const pane of ready()) {
    actions[name](pane);
    viewport(pane).render();
  }
}
const pressed = (name) => $(`[data-do=${name}]`)?.getAttribute("aria-pressed") === "true";

// The overlays.
let evidence = null, map = null;

async function loadEvidence(number) {
  evidence = map = null;
  const buttons = ["evidence", "lungs"].map((name) => $(`[data-do=${name}]`)).filter(Boolean);
  if (buttons.length === 0) return;
  for (const button of buttons) button.disabled = true;
  // Asked for only where the page shows the model's answer.
  const answer = await fetch(`/images/${number}/evidence`, { headers: { Accept: "application/json" } }).catch(() => null);
  if (answer?.status !== 200) return;
  evidence = await answer.json();
  const finding = $("#legend-finding")?.textContent;
  const cells = evidence.findings[finding] ?? Object.values(evidence.findings)[0];
  map = coloured(cells);
  $("[data-do=evidence]").disabled = $("#strength").disabled = false;
  $("[data-do=lungs]").disabled = evidence.lungs.length === 0;
  const inside = evidence.inside_lungs[finding];
  if (inside !== null && inside !== undefined && $("#legend-share")) {
    $("#legend-share").textContent = `${Math.round(100 * inside)} % of what raises it lies inside the lungs, which fill `
      + `${Math.round(100 * evidence.lungs_fill)} % of what the model saw.`;
  }
}

// Cells as a small picture, which the canvas enlarges smoothly.
function coloured(cells) {
  const rows = cells.length, columns = cells[0].length;
  const strongest = Math.max(SMALLEST_FULL, ...cells.flat().map(Math.abs));
  const small = Object.assign(document.createElement("canvas"), { width: columns, height: rows });
  const picture = new ImageData(columns, rows);
  cells.flat().forEach((value, place) => {
    const colour = value > 0 ? FOR : AGAINST;
    picture.data.set([...colour, Math.round(255 * 0.8 * Math.min(1, Math.abs(value) / strongest))], 4 * place);
  });
  small.getContext("2d").putImageData(picture, 0, 0);
  return small;
}

function drawOver(pane) {
  const canvas = $(".over", pane);
  const ratio = devicePixelRatio || 1;
  const [width, height] = [Math.round(pane.clientWidth * ratio), Math.round(pane.clientHeight * ratio)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const draw = canvas.getContext("2d");
  draw.setTransform(ratio, 0, 0, ratio, 0, 0);
  draw.clearRect(0, 0, canvas.width, canvas.height);
  if (pane !== main() || !evidence || !pane.hasAttribute("data-ready")) return;
  const { rows, columns } = shapes.get(`${SCHEME}:${pane.dataset.image}`);
  // World places are those of pixels' centres: an edge lies half a pixel outside.
  const at = (across, down) => placed(pane, across * columns - 0.5, down * rows - 0.5);
  if (pressed("evidence")) {
    const [top, left, bottom, right] = evidence.seen;
    const [a, b] = [at(left, top), at(right, bottom)];
    draw.globalAlpha = Number($("#strength").value) / 100;
    draw.imageSmoothingEnabled = true;
    draw.imageSmoothingQuality = "high";
    draw.save();
    draw.beginPath();
    draw.rect(a[0], a[1], b[0] - a[0], b[1] - a[1]);
    draw.clip();
    draw.drawImage(map, a[0], a[1], b[0] - a[0], b[1] - a[1]);
    draw.restore();
    draw.globalAlpha = 0.7;
    draw.strokeStyle = "#98a4b0";
    draw.lineWidth = 1;
    draw.strokeRect(a[0], a[1], b[0] - a[0], b[1] - a[1]);
    draw.globalAlpha = 1;
  }
  if (pressed("lungs")) {
    for (const [style, thickness] of [["#000", 4], ["#fff", 1.5]]) {
      draw.strokeStyle = style;
      draw.lineWidth = thickness;
      for (const outline of evidence.lungs) {
        draw.beginPath();
        outline.forEach(([across, down], place) => draw[place ? "lineTo" : "moveTo"](...at(across, down)));
        draw.closePath();
        draw.stroke();
      }
    }
  }
}

// An earlier image beside this one; pressed again it goes.
function beside(button) {
  const there = $$(".pane")[1];
  const again = there?.dataset.image === button.dataset.beside;
  for (const other of $$("[data-beside]")) other.setAttribute("aria-pressed", String(!again && other === button));
  if (again) {
    group.removeViewports(engine.id, there.dataset.pane);
    engine.disableElement(there.dataset.pane);
    panes.delete(there.dataset.pane);
    there.remove();
    resized();
    return;
  }
  let pane = there;
  if (!pane) {
    pane = main().cloneNode(false);
    delete pane.dataset.pane;
    pane.removeAttribute("data-ready");
    for (const [name, kind] of [["div", "view"], ["canvas", "over"], ["p", "corner"], ["p", "wait"]]) {
      pane.append(Object.assign(document.createElement(name), { className: kind }));
    }
    $("#panes").append(pane);
    resized();
  }
  $(".corner", pane).textContent = `Earlier: ${button.dataset.name}`;
  show(pane, button.dataset.beside);
}

let waiting = 0;
function resized() {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    if (panes.size === 0) return;
    engine.resize(true, true);
    ready().forEach((pane) => viewport(pane).render());
  }, 60);
}
new ResizeObserver(resized).observe($("#panes"));

for (const button of $$("[data-drag]")) button.addEventListener("click", () => dragWith(button.dataset.drag));
for (const button of $$("[data-do]")) button.addEventListener("click", () => act(button.dataset.do));
for (const button of $$("[data-beside]")) button.addEventListener("click", () => beside(button));
for (const button of $$("[data-show]")) {
  button.addEventListener("click", () => {
    for (const other of $$("[data-show]")) other.setAttribute("aria-pressed", String(other === button));
    show(main(), button.dataset.show);
  });
}
$("#strength")?.addEventListener("input", () => ready().forEach(drawOver));

const KEYS = { f: "fit", z: "one", i: "invert", r: "reset", e: "evidence", l: "lungs" };
const DRAGS = { w: "WindowLevel", p: "Pan", m: "Zoom" };
document.addEventListener("keydown", (event) => {
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("textarea, input:not([type=range])")) {
    if (key === "escape") event.target.blur();
    return;
  }
  if (KEYS[key]) act(KEYS[key]);
  else if (DRAGS[key]) dragWith(DRAGS[key]);
  else if (key === "n") {
    const more = $(".verdict details");
    if (more) more.open = true;
    $("#note").focus();
  } else if (key === "enter" && $("#next") && !event.target.closest("button, a, summary")) $("#next").click();
  else if (key === "escape") location.assign("/worklist");
  else {
    // Behind "Give another verdict" no key gives one by accident.
    const button = $(`#verdict [data-key="${CSS.escape(key)}"]`);
    if (!button || button.closest("details:not([open])")) return;
    button.click();
  }
  event.preventDefault();
});
// Twice pressed is once given.
$("#verdict")?.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "1";
});

const first = main();
if (first) show(first, first.dataset.image);
