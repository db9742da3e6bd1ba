// Small pieces that every page is made of.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Verdict } from "../api";
import { readAs, shortName, visible } from "../text";

/** A host name: text alone, never a link; as it is on the wire, and as its letters read. */
export function Host({ name, port, whole = false }: { name: string; port?: number | undefined; whole?: boolean }): JSX.Element {
  if (name === "") return <span class="faint">(none)</span>;
  const reads = readAs(name);
  return (
    <span class="host" title={visible(name)}>
      <bdi>{visible(whole ? name : shortName(name, 48), 400)}</bdi>
      {port !== undefined && <span class="port">:{port}</span>}
      {reads !== undefined && <span class="reads" title="how the letters read: compare closely">reads <bdi>{visible(whole ? reads : shortName(reads, 48), 400)}</bdi></span>}
    </span>
  );
}

/** Any other text that is not ours. */
export function Text({ text, most }: { text: string; most?: number }): JSX.Element {
  return <bdi>{visible(text, most)}</bdi>;
}

const verdicts: Record<Verdict, string> = { allow: "allowed", deny: "denied", would_deny: "audit", error: "failed" };
export function VerdictBadge({ verdict }: { verdict: Verdict }): JSX.Element {
  return <span class={`badge ${verdict}`}>{verdicts[verdict]}</span>;
}

export function Badge({ kind, children, title }: { kind?: string; children: ComponentChildren; title?: string }): JSX.Element {
  return <span class={`badge ${kind ?? ""}`} title={title}>{children}</span>;
}

export function Panel({ title, aside, children, flush }: { title: string; aside?: ComponentChildren; children: ComponentChildren; flush?: boolean }): JSX.Element {
  return (
    <section class={flush ? "panel flush" : "panel"}>
      <header><h2>{title}</h2>{aside !== undefined && <div class="aside">{aside}</div>}</header>
      {children}
    </section>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }): JSX.Element {
  return <div class="empty"><p><strong>{title}</strong></p>{children}</div>;
}

export function Problem({ error }: { error: Error | undefined }): JSX.Element | null {
  return error === undefined ? null : <p class="problem" role="alert">{visible(error.message)}</p>;
}

/** A table that scrolls within itself where the screen is narrow, by keyboard too. */
export function Scroll({ label, children }: { label: string; children: ComponentChildren }): JSX.Element {
  return <div class="scroll" tabIndex={0} role="region" aria-label={label}>{children}</div>;
}

export function Meter({ used, limit, label }: { used: number; limit: number; label: string }): JSX.Element {
  const share = limit === 0 ? 1 : Math.min(1, used / limit);
  return (
    <svg class={`meter ${share >= 1 ? "full" : share >= 0.8 ? "high" : ""}`} viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label={`${label}: ${Math.round(share * 100)} %`}>
      <rect class="track" width="100" height="10" /><rect class="used" width={share * 100} height="10" />
    </svg>
  );
}

export interface Loaded<T> { value: T | undefined; error: Error | undefined; again(): void }

/** Loads now, whenever `what` changes, and every `seconds` while the page is looked at. */
export function useLoaded<T>(load: () => Promise<T>, what: string, seconds?: number): Loaded<T> {
  const [state, set] = useState<{ value: T | undefined; error: Error | undefined }>({ value: undefined, error: undefined });
  const [round, next] = useState(0);
  const latest = useRef(0);
  useEffect(() => {
    let timer: number | undefined;
    const mine = ++latest.current;
    const run = async (): Promise<void> => {
      try {
        const value = await load();
        if (latest.current === mine) set({ value, error: undefined });
      } catch (error) {
        if (latest.current === mine) set((old) => ({ value: old.value, error: error as Error }));
      }
      if (seconds !== undefined && latest.current === mine) timer = window.setTimeout(tick, seconds * 1000);
    };
    const tick = (): void => {
      if (document.hidden) timer = window.setTimeout(tick, 1000);
      else void run();
    };
    void run();
    return () => { ++latest.current; window.clearTimeout(timer); };
  }, [what, round]);
  return { ...state, again: () => next((n) => n + 1) };
}

/** The value, once it has been the same for a while. */
export function useSettled<T>(value: T, milliseconds = 250): T {
  const [settled, set] = useState(value);
  useEffect(() => {
    const timer = window.setTimeout(() => set(value), milliseconds);
    return () => window.clearTimeout(timer);
  }, [value]);
  return settled;
}

export function Search({ value, change, label }: { value: string; change(value: string): void; label: string }): JSX.Element {
  return (
    <input type="search" class="search" value={value} placeholder={`${label}  ( / )`} aria-label={label} data-search
      maxLength={200} onInput={(event) => change(event.currentTarget.value)} spellcheck={false} autocomplete="off" />
  );
}

export function Choice<T extends string>({ value, change, label, options }: {
  value: T; change(value: T): void; label: string; options: readonly (readonly [T, string])[];
}): JSX.Element {
  return (
    <div class="choice" role="group" aria-label={label}>
      {options.map(([name, text]) => (
        <button type="button" key={name} aria-pressed={name === value} onClick={() => change(name)}>{text}</button>
      ))}
    </div>
  );
}
