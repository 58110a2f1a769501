// What every page does by itself. Buttons under figures put the command that makes the figure again into the clipboard.
"use strict";
document.documentElement.classList.add("scripted");
// A page opened from a folder may not read others, so the search shows titles only.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
document.addEventListener("click", async (event) => {
  const button = event.target.closest(".copy-command");
  if (!button) return;
  const { command } = button.dataset, told = button.textContent;
  try {
    await navigator.clipboard.writeText(command);
    button.textContent = "copied";
    setTimeout(() => { button.textContent = told; }, 1500);
  } catch {
    // Pages opened from a folder may have no clipboard: then the command is there to be copied by hand.
    button.replaceWith(Object.assign(document.createElement("code"), { textContent: command }));
  }
});
