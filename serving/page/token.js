// The field for a token. It is kept for this tab alone, until the tab is closed.

const KEY = "fullcycle-token";
let asking; // settles when a token was entered; several calls may wait for the same one

export function token() {
  return sessionStorage.getItem(KEY);
}

export function askForToken(why) {
  asking ??= new Promise((entered) => {
    const form = document.createElement("form");
    form.className = "token";
    const label = document.createElement("label");
    label.textContent = why ?? "A token is needed.";
    const field = document.createElement("input");
    Object.assign(field, { type: "password", autocomplete: "off", required: true });
    field.setAttribute("aria-label", "Token");
    const button = document.createElement("button");
    button.className = "primary";
    button.textContent = "Use this token";
    label.append(field);
    form.append(label, button);
    form.setAttribute("role", "alert");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEY, field.value.trim());
      form.remove();
      asking = undefined;
      entered();
    });
    document.querySelector("main").before(form);
    field.focus();
  });
  return asking;
}
