// Applies filters as soon as they change. Without JavaScript, the form has a button.

const form = document.getElementById("filters");
form.addEventListener("change", () => {
  for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
  form.requestSubmit();
});
addEventListener("pageshow", () => {
  for (const field of form.elements) field.disabled = false;
});
