// What every page does: talk to the API, show the key overlay, offer to take the last decision back.

const csrf = document.querySelector('meta[name="csrf"]').content;

export class Refused extends Error {
  constructor(status, reason, message) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

/** Calls the JSON API. Throws Refused with the server's one-line message. */
export async function call(method, path, body) {
  let response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers: { 'X-CSRF-Token': csrf, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refused(0, 'offline', 'The desk does not answer; check your connection and try again.');
  }
  const text = await response.text();
  const answer = text ? JSON.parse(text) : null;
  if (response.status === 401) {
    window.location.assign('/login');
  }
  if (!response.ok) {
    throw new Refused(response.status, answer?.reason ?? 'error', answer?.message ?? response.statusText);
  }
  return answer;
}

// Messages

const toast = document.getElementById('toast');
let toastTimer = 0;

/** One line at the bottom, read out by screen readers; `action` is {label, key, run}. */
export function say(text, { action = null, seconds = 6 } = {}) {
  window.clearTimeout(toastTimer);
  toast.replaceChildren(document.createTextNode(text));
  if (action) {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(`${action.label} `, Object.assign(document.createElement('kbd'), { textContent: action.key }));
    button.addEventListener('click', action.run);
    toast.append(' ', button);
  }
  toast.hidden = false;
  toastTimer = window.setTimeout(() => { toast.hidden = true; }, seconds * 1000);
}

export function complain(error) {
  if (!(error instanceof Refused)) throw error;
  say(error.message, { seconds: 10 });
}

// The last decision of this browser tab

const LAST = 'soundalike.last-decision';

export function rememberDecision(decided, label) {
  rememberDecisions([decided], label);
}

/** decided: [{opinion_id, case_id, undo_until}], one or a whole bulk. */
export function rememberDecisions(decided, label) {
  const ends = decided.map((one) => new Date(one.undo_until).getTime());
  const last = { opinions: decided.map((one) => one.opinion_id), case_id: decided[0].case_id, label };
  sessionStorage.setItem(LAST, JSON.stringify({ ...last, until: Math.min(...ends) }));
}

function lastDecision() {
  const stored = sessionStorage.getItem(LAST);
  const last = stored ? JSON.parse(stored) : null;
  return last && last.until > Date.now() ? last : null;
}

export async function undoLast() {
  const last = lastDecision();
  if (!last) {
    say('Nothing to take back: decisions can be taken back for a short time only.');
    return;
  }
  try {
    for (const opinion of last.opinions) await call('POST', `/opinions/${opinion}/undo`);
    sessionStorage.removeItem(LAST);
    window.location.assign(last.opinions.length > 1 ? '/queue?show=mine' : `/cases/${last.case_id}`);
  } catch (error) {
    complain(error);
  }
}

export function offerUndo() {
  const last = lastDecision();
  if (!last) return;
  const seconds = (last.until - Date.now()) / 1000;
  say(`${last.label}.`, { seconds, action: { label: 'Undo', key: 'u', run: undoLast } });
}

// Keys

const bound = new Map();

/** `keys`: {key: function}. Keys typed into fields and dialogs are left alone. */
export function bindKeys(keys) {
  for (const [key, run] of Object.entries(keys)) bound.set(key, run);
}

function isTyping(target) {
  return target instanceof HTMLElement
    && (target.isContentEditable || target.matches('textarea, select, input:not([type=checkbox], [type=radio])'));
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (isTyping(event.target) || document.querySelector('dialog[open]')) return;
  const focused = event.target instanceof HTMLElement && event.target.closest('button, a, summary, input');
  if (focused && (event.key === ' ' || event.key === 'Enter')) return; // the focused control's own keys
  if (event.key === '?') {
    event.preventDefault();
    document.getElementById('keys')?.showModal();
    return;
  }
  const run = bound.get(event.key);
  if (run) {
    event.preventDefault();
    run(event);
  }
});

for (const button of document.querySelectorAll('[data-open]')) {
  button.addEventListener('click', () => document.getElementById(button.dataset.open).showModal());
}

bindKeys({ u: undoLast });
offerUndo();
