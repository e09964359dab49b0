// The dialog in which a reason is chosen: by a number key at once, or with a note.

const dialog = document.getElementById('decide');
const NAMES = {
  confirm: 'Confirm', dismiss: 'Dismiss', escalate: 'Escalate', documents: 'Request documents',
  papers: 'Documents came', uphold: 'Uphold the decision', overturn: 'Overturn the decision',
};

/**
 * Asks for the reason of `action`; resolves to {action, reason_code, note, label}, or null when cancelled.
 * reasons: [{code, label, note}]; where `note` is true, words are needed before it can be decided.
 */
export function askReason(action, reasons, { many = 0 } = {}) {
  const form = dialog.querySelector('form');
  const choices = dialog.querySelector('.choices');
  const note = form.elements.note;
  const submit = dialog.querySelector('[data-submit]');
  const problem = dialog.querySelector('.alert');
  const hint = dialog.querySelector('#note-hint');
  dialog.querySelector('h2').textContent = NAMES[action] + (many ? ` ${many} cases` : '');
  note.value = '';
  problem.hidden = true;
  submit.disabled = true;
  hint.textContent = '(optional)';
  let chosen = null;

  return new Promise((resolve) => {
    const listening = new AbortController();
    const finish = (answer) => {
      listening.abort();
      dialog.close();
      resolve(answer);
    };
    const send = () => {
      if (!chosen) return;
      if (chosen.note && !note.value.trim()) {
        problem.textContent = 'This reason needs a note: say in a sentence why.';
        problem.hidden = false;
        note.focus();
        return;
      }
      const label = `${NAMES[action]}: ${chosen.label}`;
      finish({ action, reason_code: chosen.code, note: note.value, label });
    };
    const choose = (reason, { quick }) => {
      chosen = reason;
      submit.disabled = false;
      hint.textContent = reason.note ? '(needed)' : '(optional)';
      for (const button of choices.children) {
        button.setAttribute('aria-pressed', String(button.dataset.code === reason.code));
      }
      if (quick && !reason.note && !note.value) send();
      else note.focus();
    };
    choices.replaceChildren(...reasons.map((reason, index) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.dataset.code = reason.code;
      button.setAttribute('aria-pressed', 'false');
      button.append(Object.assign(document.createElement('kbd'), { textContent: index + 1 }), ` ${reason.label}`);
      button.addEventListener('click', () => choose(reason, { quick: false }));
      return button;
    }));
    const options = { signal: listening.signal };
    submit.addEventListener('click', send, options);
    dialog.addEventListener('cancel', () => finish(null), options);
    form.addEventListener('submit', (event) => { event.preventDefault(); finish(null); }, options);
    dialog.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        send();
        return;
      }
      const reason = reasons[Number(event.key) - 1];
      if (reason && event.target !== note && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        choose(reason, { quick: true });
      }
    }, options);
    dialog.showModal();
    choices.firstElementChild.focus();
  });
}
