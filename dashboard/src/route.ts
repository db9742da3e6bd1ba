// Where we are: #/PAGE?filters, so that a link keeps what somebody looked at.
import { useEffect, useState } from "preact/hooks";

export interface Place { page: string; query: URLSearchParams }

export function placeOf(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return { page: path === "" ? "overview" : path, query: new URLSearchParams(query) };
}

export function usePlace(): Place {
  const [place, set] = useState(() => placeOf(location.hash));
  useEffect(() => {
    const changed = (): void => set(placeOf(location.hash));
    window.addEventListener("hashchange", changed);
    return () => window.removeEventListener("hashchange", changed);
  }, []);
  return place;
}

export function linkTo(page: string, query: Record<string, string | undefined> = {}): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) given.set(name, value);
  return given.size > 0 ? `#/${page}?${given}` : `#/${page}`;
}

/** Filters into the address, without a step in the history for every letter. */
export function keep(page: string, query: Record<string, string | undefined>): void {
  const wanted = linkTo(page, query);
  if (wanted === location.hash) return;
  history.replaceState(null, "", wanted);
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}
