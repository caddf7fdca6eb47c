// Signs votes and ballots in the browser, with a P-256 key that no script can read out (WebCrypto, not extractable).
// A form opts in with data-sign; it carries the statement, and the chosen button and the device complete it.
// The key lives in IndexedDB, one a person, and counts only once the server has enrolled it as that person's device.
// It signs for the server at this very address alone, and for the one log that it signed for first.

const DATABASE = "weighthouse";
const STORE = "keys";
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" };

function settle(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function keys(mode) {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "principal" });
  const database = await settle(opening);
  return database.transaction(STORE, mode).objectStore(STORE);
}

const find = async (principal) => settle((await keys("readonly")).get(principal));
const keep = async (record) => settle((await keys("readwrite")).put(record));

function base64url(bytes) {
  return btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

class Refused extends Error {
  constructor(problem) {
    super(`${problem.detail} ${problem.remedy}`);
    this.problem = problem;
  }
}

// RFC 8785 for what is signed here: objects of text and whole numbers.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}

const bytes = (value) => new TextEncoder().encode(canonical(value));

// RFC 7638: the digest that names a public key.
const thumbprint = async (jwk) => base64url(await crypto.subtle.digest("SHA-256", bytes(jwk)));

const sign = async (key, value) => base64url(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key, bytes(value)));

// The audience that the page's statement names, if it is this address and the server that the key is known to.
function here(form, known) {
  const said = String(JSON.parse(form.dataset.statement).audience);
  const problem = (detail, remedy) => new Refused({ detail, remedy });
  if (said.slice(0, said.lastIndexOf("#")) !== location.origin) {
    throw problem("What is to be signed is for another server.", "Sign nothing here, and tell security.");
  }
  if (known?.audience && known.audience !== said) {
    throw problem(
      "This browser's key belongs to another server that was at this address.",
      "If an operator says that this is right, clear this site's data in the browser and sign in again.",
    );
  }
  return said;
}

// A key is made and kept before it is enrolled: the second factor is given for exactly this key, and comes back here.
async function fresh(form) {
  const pair = await crypto.subtle.generateKey(ALGORITHM, false, ["sign"]);
  const open = { key: pair.privateKey, open: pair.publicKey };
  const record = { principal: form.dataset.sign, device: "", audience: here(form), ...open };
  await keep(record);
  return record;
}

async function enrol(form, known, choice) {
  const made = known ?? (await fresh(form));
  const full = await crypto.subtle.exportKey("jwk", made.open);
  const jwk = { kty: full.kty, crv: full.crv, x: full.x, y: full.y };
  const body = new URLSearchParams({
    csrf: form.elements.namedItem("csrf").value,
    name: navigator.userAgentData?.platform ? `Browser on ${navigator.userAgentData.platform}` : "Browser",
    jwk: JSON.stringify(jwk),
    proof: await sign(made.key, {
      type: "weighthouse/enrol-key/2",
      audience: here(form, made),
      person: form.dataset.sign,
      thumbprint: await thumbprint(jwk),
    }),
  });
  const answer = await fetch("/devices", { method: "POST", body, headers: { Accept: "application/json" }, redirect: "error" });
  const said = await answer.json();
  if (said.code === "identity.act_unconfirmed") return confirm(form, JSON.parse(said.acts), choice);
  if (!answer.ok) throw new Refused(said);
  const record = { ...made, device: said.device, since: said.at };
  await keep(record);
  return record;
}

// One second factor for what belongs together: the key that will sign, and what it will sign.
function confirm(form, acts, choice) {
  const act = form.dataset.act ? JSON.parse(form.dataset.act) : null;
  if (act) acts.push({ ...act, parameters: { ...act.parameters, [form.dataset.choice]: choice } });
  location.assign(`/confirm?${new URLSearchParams({ acts: JSON.stringify(acts), return_to: location.pathname })}`);
  return new Promise(() => {}); // the page is left
}

function fill(form, name, value) {
  let field = form.elements.namedItem(name);
  if (!(field instanceof HTMLInputElement)) {
    field = document.createElement("input");
    field.type = "hidden";
    field.name = name;
    form.append(field);
  }
  field.value = value;
}

function tell(form, text, tone) {
  const status = form.querySelector(".status");
  status.textContent = text;
  status.classList.toggle("bad", tone === "bad");
}

async function submit(form, button) {
  const known = await find(form.dataset.sign);
  const must = form.dataset.kind === "device";
  const record = known?.device ? known : must ? await enrol(form, known, button.value) : null;
  if (record) {
    const audience = here(form, record);
    const chosen = { [form.dataset.choice]: button.value, device: record.device };
    const shown = JSON.parse(form.dataset.statement);
    const at = Math.max(shown.at, record.since ?? 0); // no key signs for a moment before it was enrolled
    const statement = { ...shown, ...chosen, audience, at };
    fill(form, "at", at);
    if (!record.audience) await keep({ ...record, audience }); // a key of before servers were named
    fill(form, "device", record.device);
    fill(form, "signature", await sign(record.key, statement));
  }
  fill(form, button.name, button.value);
  form.submit();
}

function stepUp(form, problem) {
  const confirm = document.getElementById("step-up");
  if (confirm && problem?.step_up) confirm.hidden = false;
  for (const other of form.querySelectorAll("button")) other.disabled = false;
}

for (const form of document.querySelectorAll("form[data-sign]")) {
  if (!globalThis.crypto?.subtle || !globalThis.indexedDB) continue;
  form.hidden = false;
  for (const other of document.querySelectorAll("[data-unsigned]")) other.hidden = true;
  find(form.dataset.sign).then((known) => {
    if (known?.device) tell(form, "This browser's key will sign exactly what is shown here.");
    else if (form.dataset.kind === "device") tell(form, "This browser has no key yet: deciding makes one, enrols it, and signs with it.");
    else tell(form, "No key in this browser: the server attests this vote for your session.");
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    for (const button of form.querySelectorAll("button")) button.disabled = true;
    tell(form, "Signing…");
    try {
      await submit(form, event.submitter);
    } catch (error) {
      tell(form, error.message, "bad");
      stepUp(form, error.problem);
    }
  });
}
