// The dialog that says what is removed with recordings, and asks before it is removed.

import { count } from "./amounts.js";

function whatGoes({ items, transcripts, corrections }) {
  if (!transcripts) return items === 1 ? "There is no transcript of it." : "None of them has a transcript.";
  const corrected = corrections ? count(corrections, "correction") : "";
  if (items === 1) return corrected ? `Its transcript and ${corrected} are removed, too.` : "Its transcript is removed, too.";
  return `Removed with them: ${[count(transcripts, "transcript"), corrected].filter(Boolean).join(", ")}.`;
}

/** Show a preview of a removal in `dialog`, and call `remove` with the choices if it is confirmed. */
export function confirmRemoval(dialog, preview, remove) {
  const { files, bytes } = preview;
  dialog.querySelector("[data-goes]").textContent = whatGoes(preview);
  const file = dialog.querySelector("[name=file]");
  file.parentElement.hidden = !files.length;
  file.parentElement.querySelector("span").textContent = `Delete ${files.length === 1 ? "the uploaded file" : count(files.length, "uploaded file")} (${(bytes / 1e6).toFixed(1)} MB)`;
  dialog.returnValue = "";
  dialog.onclose = () => {
    if (dialog.returnValue === "remove") remove({ keep_files: !file.checked, ignore: dialog.querySelector("[name=ignore]").checked });
  };
  dialog.showModal();
}
