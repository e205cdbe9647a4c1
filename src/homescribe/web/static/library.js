// Applies filters as soon as they change. Without JavaScript, the form has a button.

const form = document.getElementById("filters");
form.addEventListener("change", () => form.requestSubmit());
form.addEventListener("submit", () => {
  for (const field of form.elements) if (field.name && !field.value) field.disabled = true; // short addresses
});
addEventListener("pageshow", () => {
  for (const field of form.elements) field.disabled = false;
});
