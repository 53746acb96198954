/**
 * TensorBoard around the tab, through the same-origin parent page: theme and address. None of it is an official
 * interface, so everything is feature-detected and falls back to the tab's own window.
 */

function outer(): Window {
  try {
    // Throws when the parent is of another origin.
    void window.parent.location.hash;
    return window.parent;
  } catch {
    return window;
  }
}

/** Calls back at once and whenever TensorBoard's dark mode is switched. */
export function watchTheme(callback: (dark: boolean) => void): () => void {
  const body = outer().document.body;
  const report = (): void => callback(body.classList.contains("dark-mode"));
  report();
  const observer = new MutationObserver(report);
  observer.observe(body, { attributes: true, attributeFilter: ["class"] });
  return () => observer.disconnect();
}

export const readAddress = (): string => outer().location.hash;

/** `push` makes a step that the browser's back button undoes; otherwise the current one is amended. */
export function writeAddress(hash: string, push: boolean): void {
  const { history } = outer();
  if (hash === readAddress()) return;
  if (push) history.pushState(history.state, "", hash);
  else history.replaceState(history.state, "", hash);
}

/** The user went back or forward, or edited the address. */
export function watchAddress(callback: () => void): () => void {
  const target = outer();
  const events = ["popstate", "hashchange"] as const;
  for (const event of events) target.addEventListener(event, callback);
  return () => events.forEach((event) => target.removeEventListener(event, callback));
}

/** TensorBoard hides a tab by making its frame zero pixels high; `document.visibilityState` stays `visible`. */
export function watchVisibility(callback: (visible: boolean) => void): () => void {
  const report = (): void => callback(window.innerHeight > 0 && document.visibilityState !== "hidden");
  report();
  window.addEventListener("resize", report);
  document.addEventListener("visibilitychange", report);
  return () => {
    window.removeEventListener("resize", report);
    document.removeEventListener("visibilitychange", report);
  };
}

/** Copies text; frames without the clipboard permission fall back to a selection. */
export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.documentElement.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

/** Hands a file to the browser. TensorBoard's content policy allows a link to a blob, though no request for one. */
export function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The browser takes the file in its own time.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
