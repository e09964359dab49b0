// Accounts: add, give another role, disable. What is refused is said by the server in words.

import { call, complain } from './page.js';

async function change(method, address, body) {
  try {
    await call(method, address, body);
    window.location.reload();
  } catch (error) {
    complain(error);
  }
}

const address = (element) => `/users/${encodeURIComponent(element.closest('tr').dataset.user)}`;

document.addEventListener('change', (event) => {
  if (event.target.matches('[data-role]')) change('PATCH', address(event.target), { role: event.target.value });
});
document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-disable]');
  if (!button) return;
  if (button.dataset.sure) change('PATCH', address(button), { disabled: true });
  else {
    button.dataset.sure = 'yes';
    button.textContent = 'Sure? Disable for good';
  }
});
document.getElementById('add').addEventListener('submit', (event) => {
  event.preventDefault();
  const fields = Object.fromEntries(new FormData(event.target));
  change('POST', '/users', {
    user_id: fields.user_id,
    role: fields.role,
    rightsholder: fields.rightsholder || null,
    password: fields.password || null,
  });
});
