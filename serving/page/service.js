// Asking the service that this page comes from, with a token where it wants one.

import { askForToken, token } from "./token.js";

export async function call(path, options = {}) {
  const sent = token();
  const headers = { ...options.headers, ...(sent && { authorization: `Bearer ${sent}` }) };
  const response = await fetch(path, { ...options, headers }).catch(() => {
    throw new Error("The service does not answer. Is it still running, and is the network up?");
  });
  const body = await response.json().catch(() => ({}));
  if (response.status === 401) {
    await askForToken(sent ? body.error?.message : "This service asks for a token.");
    return call(path, options);
  }
  const message = body.error?.message ?? `The service answered ${response.status}.`;
  if (response.status === 403) askForToken(message);
  if (!response.ok) throw new Error(message);
  return body;
}

export function post(path, value) {
  return call(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(value),
  });
}
