// The queue: keyboard walk, next case, bulk decisions. The list itself comes from the server through htmx.

import { askReason } from './decide.js';
import { bindKeys, call, complain, rememberDecision, say } from './page.js';

const list = document.getElementById('cases');
const bulk = document.getElementById('bulk');
const filter = document.getElementById('filter');
let current = -1;

const rows = () => [...list.querySelectorAll('tr[data-case]')];
const picked = () => [...list.querySelectorAll('input[name=pick]:checked')].map((box) => box.value);

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
  const count = picked().length;
  bulk.hidden = count === 0;
  document.getElementById('bulk-count').textContent = count;
}

async function decideMany(action) {
  const ids = picked();
  if (!ids.length) return;
  const reasons = JSON.parse(document.getElementById('reasons').textContent)[action];
  const answer = await askReason(action, reasons, { many: ids.length });
  if (!answer) return;
  try {
    const lines = await call('POST', '/bulk', {
      case_ids: ids, action: answer.action, reason_code: answer.reason_code, note: answer.note,
    });
    const refused = lines.filter((line) => line.opinion_id === null);
    const done = lines.length - refused.length;
    window.htmx?.trigger(filter, 'submit');
    say(`${done} decided${refused.length ? `, ${refused.length} left: ${refused[0].problem}` : ''}.`, { seconds: 12 });
    bulk.hidden = true;
  } catch (error) {
    complain(error);
  }
}

document.getElementById('next')?.addEventListener('click', next);
document.getElementById('bulk-clear')?.addEventListener('click', () => {
  for (const box of list.querySelectorAll('input:checked')) box.checked = false;
  showBulk();
});
for (const button of bulk?.querySelectorAll('[data-act]') ?? []) {
  button.addEventListener('click', () => decideMany(button.dataset.act));
}
list.addEventListener('change', (event) => {
  if (event.target.id === 'select-all') {
    for (const box of list.querySelectorAll('input[name=pick]')) box.checked = event.target.checked;
  }
  showBulk();
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
    const box = rows()[current]?.querySelector('input[name=pick]');
    if (box) {
      box.checked = !box.checked;
      showBulk();
    }
  },
  '/': () => document.getElementById('text').focus(),
});
