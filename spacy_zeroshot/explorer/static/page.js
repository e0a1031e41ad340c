"use strict";
// Sends the form whenever it changes, puts the answers into the page, and sorts the table. All HTML comes from the
// server, where it is escaped.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const order = { by: "number", down: false, only: "" };
// How unsure a decision near the line is: the two best labels are 0.2 apart, or a label 0.1 from its threshold
const NEAR = 0.8;
let pending = 0;
let newest = 0;

async function ask(action, data) {
  pending += 1;
  $("#busy").hidden = false;
  try {
    const response = await fetch(action, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Explore": "1" },
      body: JSON.stringify(data),
    });
    const html = await response.text();
    $("#message").innerHTML = response.status === 422 ? html : "";
    if (response.status >= 500) $("#message").textContent = "The server failed; its terminal says why.";
    return response.ok ? html : null;
  } catch {
    $("#message").textContent = "The server does not answer: is the command still running?";
    return null;
  } finally {
    pending -= 1;
    $("#busy").hidden = pending === 0;
  }
}

// Answers may come late: only the newest is shown
async function update(action, data) {
  const mine = (newest += 1);
  const html = await ask(action, data);
  if (html === null || mine !== newest) return false;
  $("#results").innerHTML = html;
  arrange();
  return true;
}

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

function form() {
  const groups = $$("#questions .question").map((set) => {
    const field = (name) => $(`[name=${name}]`, set).value;
    return {
      name: field("name"),
      labels: lines(field("labels")),
      multi_label: field("multi_label") === "1",
      threshold: field("threshold") === "" ? null : Number(field("threshold")),
      hypothesis_template: lines(field("templates")),
      key_prefix: field("key_prefix"),
    };
  });
  const { wordings, none_label } = $("#settings").elements;
  return {
    groups: groups.filter((group) => group.labels.length),
    wordings: lines(wordings.value),
    none_label: none_label.value.trim() || null,
  };
}

let timer = null;
function changed(wait) {
  clearTimeout(timer);
  const several = $$("#questions .question").length > 1 || $("[name=name]").value !== "";
  $("#questions").classList.toggle("several", several);
  timer = setTimeout(() => update("score", { form: form() }), wait);
}

// The table

function arrange() {
  const table = $("#rows");
  if (!table) return;
  for (const [id, value] of [["#only", order.only], ["#sort", order.by]]) {
    $(id).value = value;
    if ($(id).selectedIndex < 0) $(id).selectedIndex = 0;
  }
  order.only = $("#only").value;
  order.by = $("#sort").value;
  const key = (row) =>
    /^\d+$/.test(order.by) ? Number(row.dataset.scores.trim().split(" ")[order.by]) : Number(row.dataset[order.by]);
  const rows = $$("tbody tr", table).sort((a, b) => (key(a) - key(b)) * (order.down ? -1 : 1));
  for (const row of rows) row.hidden = !shown(row);
  $("tbody", table).append(...rows);
  for (const button of $$("th button", table)) {
    const own = button.dataset.sort === order.by;
    button.parentElement.ariaSort = own ? (order.down ? "descending" : "ascending") : "none";
  }
}

function shown(row) {
  const chosen = JSON.parse(row.dataset.chosen);
  if (order.only === "") return true;
  if (order.only === ":none") return chosen.length === 0;
  if (order.only === ":wrong") return row.dataset.right === "False";
  if (order.only === ":near") return row.dataset.unsure >= NEAR;
  return chosen.includes(order.only.slice(2));
}

// One text

async function look(number, label = null, explain = false) {
  const html = await ask("show", { number, label, explain });
  if (html === null) return;
  $("#look > div").innerHTML = html;
  if (!$("#look").open) $("#look").showModal();
}

async function answer(number, labels) {
  $("#look").close();
  if (!(await update("correct", { number, labels }))) return;
  // the button is gone: a keyboard goes on from the same row
  $(`#rows tr[data-number="${number}"] .text`)?.focus({ preventScroll: true });
}

// Events

const clicks = {
  "[data-look]": (button) => look(Number(button.dataset.look)),
  "[data-only]": (button) => {
    order.only = button.dataset.only;
    arrange();
    $("#texts").scrollIntoView();
  },
  "[data-sort]": (button) => {
    order.down = order.by === button.dataset.sort ? !order.down : button.dataset.sort !== "number";
    order.by = button.dataset.sort;
    arrange();
  },
  ".agree": (button) => {
    const row = button.closest("tr");
    answer(Number(row.dataset.number), JSON.parse(row.dataset.chosen));
  },
  "#explain": () => look(Number($("#support").dataset.number), $("#support").value || null, true),
  "#forget": () => answer(Number($("#answer").dataset.number), null),
  "#add": () => {
    $("#questions").append($("#question").content.cloneNode(true));
    changed(0);
    $("#questions .question:last-child [name=name]").focus();
  },
  ".remove": (button) => {
    const sets = $$("#questions .question");
    if (sets.length > 1) button.closest("fieldset").remove();
    else $("[name=name]", sets[0]).value = $("[name=key_prefix]", sets[0]).value = "";
    changed(0);
  },
  "#paste": () => load("pasted.txt", new Blob([$("#pasted").value])),
  "#tune": async () => {
    const html = await ask("tune", {});
    if (html !== null) $("#tuned").innerHTML = html;
  },
  "#adopt": async () => {
    if ((await ask("adopt", {})) !== null) location.reload();
  },
  "#copy": async (button) => {
    const config = $("#config pre");
    try {
      await navigator.clipboard.writeText(config.textContent);
      button.textContent = "Copied";
    } catch {
      // the browser refuses
      getSelection().selectAllChildren(config);
      button.textContent = "Selected: Ctrl-C copies";
    }
  },
};

document.addEventListener("click", (event) => {
  for (const [selector, act] of Object.entries(clicks)) {
    const button = event.target.closest(selector);
    if (button) return act(button);
  }
});

document.addEventListener("change", (event) => {
  const { id, value } = event.target;
  if (id === "only") order.only = value;
  if (id === "sort") [order.by, order.down] = [value, value !== "number"];
  if (id === "only" || id === "sort") arrange();
  if (id === "support") look(Number(event.target.dataset.number), value || null);
  if (id === "file" && event.target.files.length) load(event.target.files[0].name, event.target.files[0]);
});

document.addEventListener("input", (event) => {
  if (event.target.closest("#settings") && !event.target.closest("#load")) changed(400);
});

document.addEventListener("submit", async (event) => {
  if (event.target.method === "dialog") return;
  event.preventDefault();
  if (event.target.id === "answer") {
    const labels = $$("input:checked", event.target).map((input) => input.value);
    answer(Number(event.target.dataset.number), labels.filter((label) => label !== ""));
  }
  if (event.target.id === "save") {
    const { folder, overwrite } = event.target.elements;
    const html = await ask("save", { form: form(), folder: folder.value, overwrite: overwrite.checked });
    $("#saved").innerHTML = html ?? "";
  }
});

async function load(name, blob) {
  const url = await new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(blob);
  });
  const content = url.slice(url.indexOf(",") + 1);
  // labels may have come with the texts
  if ((await ask("load", { form: form(), name, content, text_field: $("#text_field").value })) !== null) location.reload();
}

arrange();
$("#questions").classList.toggle("several", $$(".question").length > 1 || $("[name=name]").value !== "");
