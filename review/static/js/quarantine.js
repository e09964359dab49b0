// Quarantined references: keep a span or all of it out, or let it accuse again.

import { call, complain } from './page.js';

const number = (text) => (text === '' ? null : Number(text));

document.addEventListener('submit', async (event) => {
  const section = event.target.closest('[data-quarantine]');
  if (!section) return;
  event.preventDefault();
  const fields = Object.fromEntries(new FormData(event.target));
  const act = event.submitter?.value ?? 'keep-span';
  const span = act === 'keep-span' ? { start_s: number(fields.start_s), end_s: number(fields.end_s) } : {};
  const address = `/quarantine/${encodeURIComponent(section.dataset.quarantine)}`;
  const buttons = [...event.target.querySelectorAll('button')];
  for (const button of buttons) button.disabled = true;
  try {
    const answer = act === 'release'
      ? await call('POST', `${address}/release`, { reason: fields.reason })
      : await call('POST', `${address}/keep`, { reason: fields.reason, ...span });
    show(section, act, answer?.uploads ?? []);
  } catch (error) {
    for (const button of buttons) button.disabled = false;
    complain(error);
  }
});

/** What was decided, in place of the form; after a release, which uploads to publish again. */
function show(section, act, uploads) {
  const outcome = section.querySelector('[data-outcome]');
  const list = outcome.querySelector('textarea');
  section.querySelector('form').remove();
  outcome.hidden = false;
  if (act !== 'release') {
    outcome.querySelector('p').textContent = 'Kept out. Matches on it are shown in the evidence and accuse nobody.';
    return;
  }
  list.hidden = uploads.length === 0;
  list.value = uploads.join('\n');
  outcome.querySelector('p').textContent = uploads.length
    ? `Released. ${uploads.length} uploads went by meanwhile; publish them again:`
    : 'Released. No upload went by meanwhile.';
}
