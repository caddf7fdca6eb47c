// Small comforts on top of pages that work without them: live values, relative times, copy buttons.
// Nothing here turns text into markup: the page's policy forbids it (Trusted Types with no policy at all).

const YEAR = 31536000000;
const UNITS = [[86400000, "d"], [3600000, "h"], [60000, "min"], [1000, "s"]];

function span(ms) {
  const parts = [];
  let rest = Math.abs(ms);
  for (const [size, name] of UNITS) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count) parts.push(`${count} ${name}`);
    if (parts.length === 2 || (parts.length && !count)) break;
  }
  return parts.join(" ");
}

function relative(at, now) {
  const gap = at - now;
  if (Math.abs(gap) < 5000) return "now";
  const [size, name] = Math.abs(gap) >= 2 * YEAR ? [YEAR, "y"] : UNITS.find(([unit]) => Math.abs(gap) >= unit);
  const count = Math.floor(Math.abs(gap) / size);
  const text = (name === "h" || name === "d") && count < 10 ? span(gap) : `${count} ${name}`;
  return gap > 0 ? `in ${text}` : `${text} ago`;
}

function tick() {
  const now = Date.now();
  for (const element of document.querySelectorAll("time[data-at]")) {
    element.textContent = relative(Number(element.dataset.at), now);
  }
}
setInterval(tick, 15000);

// Live regions: fetch JSON, write each value into the element of that name. The server says when it is done.
async function refresh(region) {
  const answer = await fetch(region.dataset.live, { headers: { Accept: "application/json" }, redirect: "error" });
  if (!answer.ok) return false;
  const facts = await answer.json();
  for (const element of region.querySelectorAll("[data-field]")) {
    const value = facts[element.dataset.field];
    if (value === undefined || value === null) continue;
    if (element instanceof HTMLProgressElement) element.value = value;
    else if (element instanceof SVGPolylineElement) element.setAttribute("points", value);
    else if (element.textContent !== String(value)) element.textContent = value;
  }
  for (const element of region.querySelectorAll("[data-follow]")) {
    const lines = facts[element.dataset.follow];
    if (!Array.isArray(lines) || !lines.length) continue;
    const low = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
    element.append(lines.join("\n") + "\n");
    if (low) element.scrollTop = element.scrollHeight;
  }
  if (facts.next) region.dataset.live = facts.next;
  return !facts.done;
}

async function follow(region) {
  const every = Number(region.dataset.every || 2000);
  let misses = 0;
  while (misses < 5) {
    await new Promise((wake) => setTimeout(wake, every * (1 + misses)));
    if (document.hidden) continue;
    try {
      if (!(await refresh(region))) return location.reload();
      misses = 0;
    } catch {
      misses += 1;
    }
  }
}
for (const region of document.querySelectorAll("[data-live]")) follow(region);

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  });
}

// Ctrl+K or ⌘K leads to the search: of this page if it has one, else to that of the lab. With a modifier, so that nobody
// who dictates or types with a switch sets it off (WCAG 2.1.4).
document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
  const search = document.querySelector("main input[type=search]");
  if (!search && !document.getElementById("places")) return;
  event.preventDefault();
  if (search) search.focus();
  else location.assign("/request");
});
