// The gallery: cards are in the page already; the script hides, orders and lays overlays on them.

function startGallery() {
  const list = byId("g-cards");
  if (!list) return;
  const cards = [...list.children], form = byId("g-form");
  form.addEventListener("submit", (event) => event.preventDefault());
  const wish = (key) => (byId(`g-${key}`) ? byId(`g-${key}`).value : "");
  const orders = {
    "": () => 0,
    certain: (one, other) => other.dataset.certain - one.dataset.certain,
    uncertain: (one, other) => one.dataset.certain - other.dataset.certain,
    flag: (one, other) => other.dataset.flag - one.dataset.flag,
  };
  const show = () => {
    for (const card of cards) {
      card.hidden = !(card.dataset.why.split(" | ").includes(wish("why")) || !wish("why"))
        || ["truth", "called", "source"].some((key) => wish(key) && card.dataset[key] !== wish(key));
    }
    list.append(...[...cards].sort(orders[wish("order")]));
    byId("g-said").textContent = `${cards.filter((card) => !card.hidden).length} of ${cards.length} shown`;
  };
  form.addEventListener("change", show);
  show();
  const button = byId("g-overlay");
  if (button) {
    button.addEventListener("click", () => {
      const on = list.classList.toggle("overlaid");
      button.setAttribute("aria-pressed", String(on));
      if (on) list.querySelectorAll(".picture[data-cells]").forEach(layOver);
    });
  }
  for (const kind of ["pointerover", "focusin"]) {
    list.addEventListener(kind, (event) => {
      const picture = event.target.closest(".picture[data-cells]");
      if (picture) layOver(picture);
    });
  }
}

// Orange for what speaks for the call, blue for what speaks against it; the browser smooths between cells.
function layOver(picture) {
  if (picture.querySelector("canvas")) return;
  const cells = unpack(picture.dataset.cells, Int8Array), side = Math.round(Math.sqrt(cells.length));
  const canvas = html("canvas", { width: side, height: side, "aria-hidden": "true" });
  const context = canvas.getContext("2d"), pixels = context.createImageData(side, side);
  cells.forEach((value, place) => {
    const color = value > 0 ? [255, 150, 60] : [80, 160, 255];
    pixels.data.set([...color, Math.min(127, Math.abs(value))], 4 * place);
  });
  context.putImageData(pixels, 0, 0);
  const [top, left, bottom, right] = picture.dataset.box.split(",").map(Number);
  const image = picture.querySelector("img");
  Object.assign(canvas.style, {
    top: `${100 * top}%`, left: `${100 * left}%`, width: `${100 * (right - left)}%`, height: `${100 * (bottom - top)}%`,
  });
  image.parentElement.append(canvas);
}
