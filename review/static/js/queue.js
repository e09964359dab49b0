// The queue: keyboard walk, next case, bulk decisions. The list itself comes from the server through htmx.

import { askReason } from './decide.js';
import { bindKeys, call, complain, offerUndo, rememberDecisions, say } from './page.js';

const list = document.getElementById('cases');
const bulk = document.getElementById('bulk');
const filter = document.getElementById('filter');
let current = -1;

const rows = () => [...list.querySelectorAll('tr[data-case]')];
const picked = new Set(); // also cases that are not on this page
const MOST = 200; // of one bulk decision, as the server has it

function walk(step) {
  const all = rows();
  if (!all.length) return;
  current = Math.min(Math.max(current + step, 0), all.length - 1);
  all.forEach((row, index) => row.toggleAttribute('data-current', index === current));
  all[current].querySelector('a').focus();
}

function open() {
  const row = rows()[current] ?? rows()[0];
  if (row) window.location.assign(`/cases/${row.dataset.case}`);
}

async function next() {
  const fields = new FormData(filter);
  try {
    const lease = await call('POST', '/cases/next', {
      text: fields.get('text'),
      rule: fields.get('rule') || null,
      uploader: fields.get('uploader') || null,
      track_id: fields.get('track_id') || null,
    });
    if (lease) window.location.assign(`/cases/${lease.case_id}`);
    else say('Nothing is left to claim here.');
  } catch (error) {
    complain(error);
  }
}

function showBulk() {
  if (!bulk) return;
  for (const box of list.querySelectorAll('input[name=pick]')) box.checked = picked.has(box.value);
  bulk.hidden = picked.size === 0;
  document.getElementById('bulk-count').textContent = picked.size;
}

function pick(ids, on = true) {
  for (const id of ids) {
    if (on) picked.add(id);
    else picked.delete(id);
  }
  showBulk();
}

/** Adds all open cases of the selected cases' uploaders, or on the references that they match best. */
async function pickMore(kind) {
  try {
    const wanted = new Set();
    for (const id of [...picked].slice(0, 20)) {
      const { case: found } = await call('GET', `/cases/${id}`);
      const value = kind === 'uploader' ? found.line.uploader : found.evidence.matches[0]?.track_id;
      if (value) wanted.add(value);
    }
    const before = picked.size;
    let left = 0;
    for (const value of wanted) {
      const name = kind === 'uploader' ? 'uploader' : 'track_id';
      const page = await call('GET', `/cases?limit=${MOST}&${name}=${encodeURIComponent(value)}`);
      const free = page.cases.filter((line) => !line.leased_by).map((line) => line.case_id);
      pick(free.slice(0, MOST - picked.size));
      left += page.total - page.cases.length;
    }
    say(`${picked.size - before} more selected${left ? `; ${left} do not fit into one bulk decision` : ''}.`);
  } catch (error) {
    complain(error);
  }
}

async function decideMany(action) {
  const ids = [...picked].slice(0, MOST);
  if (!ids.length) return;
  const reasons = JSON.parse(document.getElementById('reasons').textContent)[action];
  const answer = await askReason(action, reasons, { many: ids.length });
  if (!answer) return;
  try {
    const lines = await call('POST', '/bulk', {
      case_ids: ids, action: answer.action, reason_code: answer.reason_code, note: answer.note,
    });
    const refused = lines.filter((line) => line.opinion_id === null);
    const done = lines.filter((line) => line.opinion_id !== null);
    picked.clear();
    showBulk();
    window.htmx?.trigger(filter, 'submit');
    const problem = refused.length ? `; ${refused.length} left: ${refused[0].problem}` : '';
    if (done.length) {
      rememberDecisions(done, `${answer.label}, ${done.length} cases${problem}`);
      offerUndo();
    } else say(`Nothing was decided${problem}.`, { seconds: 12 });
  } catch (error) {
    complain(error);
  }
}

document.getElementById('next')?.addEventListener('click', next);
document.getElementById('bulk-clear')?.addEventListener('click', () => {
  picked.clear();
  showBulk();
});
for (const button of bulk?.querySelectorAll('[data-act]') ?? []) {
  button.addEventListener('click', () => decideMany(button.dataset.act));
}
for (const button of bulk?.querySelectorAll('[data-more]') ?? []) {
  button.addEventListener('click', () => pickMore(button.dataset.more));
}
list.addEventListener('change', (event) => {
  const all = event.target.id === 'select-all';
  const boxes = all ? [...list.querySelectorAll('input[name=pick]')] : [event.target];
  pick(boxes.map((box) => box.value), event.target.checked);
});
document.body.addEventListener('htmx:afterSwap', () => {
  current = -1;
  showBulk();
});
document.body.addEventListener('htmx:responseError', () => say('The list could not be loaded; try again.'));

bindKeys({
  n: next,
  j: () => walk(1),
  k: () => walk(-1),
  ArrowDown: () => walk(1),
  ArrowUp: () => walk(-1),
  Enter: open,
  s: () => {
    const id = rows()[current]?.dataset.case;
    if (bulk && id) pick([id], !picked.has(id));
  },
  y: () => decideMany('confirm'),
  d: () => decideMany('dismiss'),
  e: () => decideMany('escalate'),
  '/': () => document.getElementById('text').focus(),
});
