// One case: listening, the lease, the decision.

import { askReason } from './decide.js';
import { Lanes, clock } from './lanes.js';
import { Player } from './player.js';
import { bindKeys, call, complain, rememberDecision, say } from './page.js';

const data = JSON.parse(document.getElementById('case-data').textContent);
const path = `/cases/${data.case_id}`;
const one = (selector) => document.querySelector(selector);

// Listening

const { '': upload, ...references } = data.audio;
const player = new Player({ A: one('#audio-a'), B: one('#audio-b') }, upload, references);
const lanes = new Lanes(one('#lanes'), player, data);
let chosen = 0;

function choose(index, { play = false, stay = false } = {}) {
  if (!data.matches.length) return;
  chosen = (index + data.matches.length) % data.matches.length;
  const match = data.matches[chosen];
  player.choose(match, { stay });
  const title = one('[data-reference-title]');
  if (title) title.textContent = match.title;
  for (const row of document.querySelectorAll('tr[data-match]')) {
    const current = Number(row.dataset.match) === chosen;
    row.toggleAttribute('aria-current', current);
    if (current) {
      row.setAttribute('aria-current', 'true');
      row.scrollIntoView({ block: 'nearest' });
    }
  }
  lanes.show();
  if (play && !player.playing) player.play();
}

function press(name, on) {
  one(`[data-do="${name}"]`)?.setAttribute('aria-pressed', String(on));
}

function refresh() {
  const button = one('[data-do="play"]');
  button.setAttribute('aria-pressed', String(player.playing));
  button.firstChild.textContent = player.playing ? 'Pause ' : 'Play ';
  const side = one('[data-side]');
  if (side) side.textContent = player.side === 'A' ? 'A, upload' : 'B, reference';
  one('[data-clock]').textContent = clock(player.position);
  lanes.move();
}

let frame = 0;
function animate() {
  player.tick();
  one('[data-clock]').textContent = clock(player.position);
  lanes.move();
  frame = player.playing ? window.requestAnimationFrame(animate) : 0;
}
player.addEventListener('change', () => {
  refresh();
  if (player.playing && !frame) frame = window.requestAnimationFrame(animate);
});
player.addEventListener('trouble', (event) => say(event.detail, { seconds: 10 }));
lanes.addEventListener('choose', (event) => choose(event.detail, { stay: true }));

const listening = {
  play: () => player.toggle(),
  side: () => player.switchSide() || say('There is no reference to switch to.'),
  previous: () => choose(chosen - 1),
  following: () => choose(chosen + 1),
  loop: () => { player.loop = !player.loop; press('loop', player.loop); },
  match: () => { player.setMatching(!player.matching); press('match', player.matching); },
  zoom: () => { lanes.show({ zoomed: !lanes.zoomed }); press('zoom', lanes.zoomed); },
  retry: async () => {
    try {
      await call('POST', `${path}/audio/retry`);
      window.location.reload();
    } catch (error) {
      complain(error);
    }
  },
};

// The lease

let token = data.token;
let active = Date.now();
for (const kind of ['pointerdown', 'keydown', 'wheel']) {
  document.addEventListener(kind, () => { active = Date.now(); }, { passive: true });
}

function showLease(text) {
  const line = one('[data-lease-text]');
  if (line) line.textContent = text;
  one('[data-do="claim"]')?.toggleAttribute('hidden', token !== null);
  one('[data-actions]')?.toggleAttribute('hidden', token === null);
}

async function claim() {
  if (token || !data.actions.length) return;
  try {
    ({ token } = await call('POST', `${path}/claim`));
    active = Date.now();
    showLease('Yours.');
  } catch (error) {
    showLease(error.message);
    complain(error);
  }
}

async function renew() {
  // Renewed while somebody is at work: hands on the page, or ears on the audio.
  if (!token || (Date.now() - active > data.lease_s * 1000 && !player.playing)) return;
  try {
    await call('POST', `${path}/renew`, { token });
  } catch (error) {
    if (error.status === 409) {
      token = null;
      showLease('Your lease has lapsed. Claim the case again to decide it.');
    } else {
      complain(error);
    }
  }
}
window.setInterval(renew, (data.lease_s * 1000) / 3);
document.addEventListener('visibilitychange', () => { if (!document.hidden) renew(); });

async function release() {
  try {
    if (token) await call('POST', `${path}/release`, { token });
    window.location.assign('/queue');
  } catch (error) {
    complain(error);
  }
}

// The decision

async function decide(action) {
  if (!data.actions.includes(action)) return;
  if (!token) {
    await claim();
    if (!token) return;
  }
  const answer = await askReason(action, data.reasons[action]);
  if (!answer) return;
  const { label, ...body } = answer;
  try {
    const decided = await call('POST', `${path}/decide`, { token, ...body });
    token = null;
    rememberDecision(decided, label);
    const next = await call('POST', '/cases/next', {});
    window.location.assign(next ? `/cases/${next.case_id}` : '/queue');
  } catch (error) {
    if (error.status === 409) {
      token = null;
      showLease(error.message);
    }
    complain(error);
  }
}

// Wiring

// What leads do beside deciding

async function act(method, address, body) {
  try {
    await call(method, address, body);
    window.location.reload();
  } catch (error) {
    complain(error);
  }
}

const lead = {
  papers: async () => {
    const answer = await askReason('papers', [{ code: 'papers', label: 'What came, in words', note: true }]);
    if (answer) await act('POST', `${path}/documents`, { note: answer.note });
  },
  golden: (button) => act('POST', '/golden', {
    case_id: data.case_id, action: button.dataset.answer, reason_code: button.dataset.reason,
  }),
  retire: () => act('DELETE', `/golden/${data.case_id}`),
};

const doing = { ...listening, ...lead, claim, release };
document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-do], [data-act], [data-retry], tr[data-match]');
  if (!button || button.closest('dialog')) return;
  if (button.dataset.act) decide(button.dataset.act);
  else if ('retry' in button.dataset) listening.retry();
  else if (button.dataset.match !== undefined) choose(Number(button.dataset.match));
  else doing[button.dataset.do]?.(button);
});

const either = (first, second) => () => decide(data.actions.includes(first) ? first : second);
bindKeys({
  ' ': listening.play,
  b: listening.side,
  '[': listening.previous,
  ']': listening.following,
  l: listening.loop,
  t: listening.match,
  z: listening.zoom,
  ArrowLeft: () => player.seek(player.position - 5),
  ArrowRight: () => player.seek(player.position + 5),
  c: claim,
  y: either('confirm', 'uphold'),
  d: either('dismiss', 'overturn'),
  e: () => decide('escalate'),
  r: () => decide('documents'),
  q: release,
});

choose(0);
if (!data.matches.length) lanes.show({ zoomed: false });
refresh();

if (one('[data-pending]')) {
  window.setTimeout(() => { if (!player.playing && !one('dialog[open]')) window.location.reload(); }, 4000);
}
document.documentElement.dataset.ready = 'true';
