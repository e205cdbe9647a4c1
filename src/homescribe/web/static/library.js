// Filters act when they are changed; the button is for when this file is not loaded.

const form = document.getElementById("narrow");
form.addEventListener("change", () => {
  for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
  form.requestSubmit();
});
addEventListener("pageshow", () => {
  for (const field of form.elements) field.disabled = false;
});
