// One polite live region for the page: what happened, in words, for those who do not see it happen.

let region: HTMLElement | null = null;

/** Has a screen reader say `sentence` when it next has time. */
export function say(sentence: string): void {
  if (!region) {
    region = document.createElement("div");
    region.className = "unseen";
    region.setAttribute("role", "status");
    region.setAttribute("aria-live", "polite");
    document.body.append(region);
  }
  const line = document.createElement("p");
  line.textContent = sentence;
  region.append(line);
  // Long enough to be read, short enough that the region does not become a transcript.
  setTimeout(() => line.remove(), 8000);
}
