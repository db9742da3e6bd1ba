// The API under /v1/, and nothing else: shapes as docs/dashboard.md and the OpenAPI document have them.

export type Role = "viewer" | "developer" | "reviewer" | "admin";
export type Verdict = "allow" | "deny" | "would_deny" | "error";
export const roles: readonly Role[] = ["viewer", "developer", "reviewer", "admin"];

export interface Session { name: string; role: Role; version: string }
export interface Totals {
  allow: number; deny: number; would_deny: number; error: number;
  bytes_up: number; bytes_down: number; tunnels: number; connections: number;
}
export interface JobPhase {
  phase: string; step: number; sealed: boolean; current: boolean;
  tunnels?: number; bytes_up?: number; bytes_down?: number;
}
export interface Job { job: string; ended: string | null; phases: JobPhase[]; held: { findings: number; first: string } | null }
export interface Health {
  status: "ok" | "degraded" | "draining"; version: string; identity: string; identity_note?: string;
  sandbox?: string; sandbox_lacks?: string[];
  policy: { file: string; digest: string; loaded_at: string; rules: number; last_reload?: { ok: boolean; at: string; errors: string[] } };
  job: { declared: Job | null; open: number; held: number; trouble?: string };
  listeners: { address: string; phase: string; identity: string }[];
  upstreams?: { proxy: string; hosts: string; resolve: string }[];
  workers: number; draining: boolean;
}
export interface ReasonCount { phase: string; verdict: Verdict; reason: string; text: string; count: number }
export interface Overview {
  time: string; since: string; health: Health; totals: Totals; reasons: ReasonCount[];
  log: { sink: string; written: number; dropped: number; errors: number }[];
  reloads: { good: number; failed: number }; control_denied: number;
  history: { interval_seconds: number; samples: (Totals & { at: number })[] };
}
export interface PhaseInfo {
  name: string; untrusted: boolean; audit: boolean; hints: string; ech: string; final: boolean; rules: number;
  canaries: number; limits: { upload?: number; download?: number; requests?: number }; time_limit?: string; at: string;
}
export interface Policy {
  file: string; digest: string; loaded_at: string; rules: number; phases: PhaseInfo[]; deny: number;
  addresses: { cidr: string; hosts: string[]; literal: boolean; reason: string; at: string }[]; includes: string[];
}
export interface Rule {
  id: string; phase: string; what: string; unicode?: string; risk?: { tags: string; why: string }; ports: string; yaml: string;
  reason: string; owner: string; ticket: string; bundle: string; at: string; final: boolean; included: boolean;
  expires?: string; expired?: boolean; hits: number; last_hit?: string; budgets: { kind: string; used: number; limit: number }[];
}
export interface Rules { total: number; offset: number; since: string; rules: Rule[] }
export interface Finding { code: string; severity: "info" | "low" | "medium" | "high"; title: string; text: string; danger: string; fix: string; at: string }
export interface Findings { total: number; findings: Finding[] }
export interface Related { relation: string; rule: string; rule_at: string; text: string }
export interface Explained {
  policy: string; host: string; host_unicode?: string; port: number; scheme: string;
  risk?: { tags: string; why: string }; name_bits?: number;
  phases: {
    phase: string; verdict: Verdict; reason: string; rule?: string; rule_at?: string; canary_at?: string; reason_phrase?: string;
    message?: string; next?: string[]; hint?: string; rules: Related[]; left_out: number;
  }[];
  deny: Related[]; deny_left_out: number; addresses: { cidr: string; at: string }[];
}
export interface Activity {
  job: string; phase: string; first: string; last: string; allow: number; deny: number; would_deny: number; error: number; canaries: number;
}
export interface Budget { kind: "upload" | "download" | "names" | "requests" | "time"; phase: string; rule: string; used: number; limit: number }
export interface Jobs { time: string; jobs: Job[]; activity: Activity[]; budgets: Budget[] }
export interface Reloaded { ok: boolean; digest: string; rules: number; errors: string[]; held: { job: string; findings: number; first: string }[] }
/** A line of the decision log. */
export interface Decision {
  time: string; event: "decision" | "close"; decision: string; phase?: string; job?: string; client?: string; uid?: number;
  process?: string; pid?: number; command?: string; cgroup?: string; method?: string; scheme?: string; host?: string; port?: number;
  address?: string; verdict: Verdict; reason: string; rule?: string; rule_at?: string; status?: number; bytes_up?: number;
  bytes_down?: number; total_ms?: number; sni?: string; error?: string; hint?: string;
  [more: string]: unknown;
}

export class Refused extends Error {
  constructor(readonly status: number, text: string) { super(text); }
}

// The cookie alone is good for nothing: every server on this host gets to see it. The key is this origin's.
const keeper = "exeat.session-key";
let key: string | null = localStorage.getItem(keeper);
let lost: () => void = () => {};

export function onLoggedOut(then: () => void): void { lost = then; }
export function hasKey(): boolean { return key !== null; }

function fields(): Record<string, string> { return key === null ? {} : { "Exeat-Session": key }; }

async function failure(answer: Response): Promise<Refused> {
  const text = await answer.json().then((body: { error?: string }) => body.error, () => undefined);
  return new Refused(answer.status, text ?? `The proxy answered ${answer.status}.`);
}

async function judge(answer: Response): Promise<Response> {
  if (answer.ok) return answer;
  const why = await failure(answer);
  if (answer.status === 401) forget();
  throw why;
}

function forget(): void {
  key = null;
  localStorage.removeItem(keeper);
  lost();
}

export async function get<T>(path: string, query: Record<string, string | number | undefined> = {}): Promise<T> {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== "") given.set(name, String(value));
  const asked = given.size > 0 ? `/v1/${path}?${given}` : `/v1/${path}`;
  return (await judge(await fetch(asked, { headers: fields() }))).json() as Promise<T>;
}

export async function post<T>(path: string, body: object = {}): Promise<T> {
  const answer = await fetch(`/v1/${path}`, {
    method: "POST", headers: { ...fields(), "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  // 422: carried out, and the answer says what is wrong.
  return (answer.status === 422 ? answer : await judge(answer)).json() as Promise<T>;
}

export async function logIn(token: string): Promise<void> {
  const answer = await fetch("/v1/login", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token: token.trim() }),
  });
  if (!answer.ok) throw await failure(answer);
  key = ((await answer.json()) as { key: string }).key;
  localStorage.setItem(keeper, key);
}

export async function logOut(): Promise<void> {
  await post("logout").catch(() => undefined);
  forget();
}

export interface LiveFilter { phase: string; show: "all" | "refused"; q: string }
export interface LiveHandlers {
  decision(id: number, line: Decision): void;
  gap(missed: number): void;
  state(connected: boolean, problem?: string): void;
}

/** Follows the stream until the result is called; comes again by itself, from where it was. */
export function follow(filter: LiveFilter, from: number | undefined, handlers: LiveHandlers): () => void {
  const stop = new AbortController();
  let after = from;
  const read = async (): Promise<void> => {
    const query = new URLSearchParams({ show: filter.show });
    if (filter.phase) query.set("phase", filter.phase);
    if (filter.q) query.set("q", filter.q);
    if (after !== undefined) query.set("after", String(after));
    const answer = await judge(await fetch(`/v1/live?${query}`, { headers: fields(), signal: stop.signal }));
    handlers.state(true);
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += value;
      for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
        take(rest.slice(0, end));
        rest = rest.slice(end + 2);
      }
    }
  };
  const take = (block: string): void => {
    let name = "", data = "", id: number | undefined;
    for (const line of block.split("\n")) {
      if (line.startsWith("event: ")) name = line.slice(7);
      if (line.startsWith("data: ")) data = line.slice(6);
      if (line.startsWith("id: ")) id = Number(line.slice(4));
    }
    if (id !== undefined) after = id;
    if (name === "gap") handlers.gap((JSON.parse(data) as { missed: number }).missed);
    if (name === "decision") handlers.decision(after ?? 0, JSON.parse(data) as Decision);
  };
  void (async () => {
    while (!stop.signal.aborted) {
      let problem: string | undefined;
      try { await read(); } catch (error) {
        if (stop.signal.aborted) return;
        if (error instanceof Refused && error.status < 500) return handlers.state(false, error.message);
        problem = error instanceof Error ? error.message : undefined;
      }
      handlers.state(false, problem);
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  })();
  return () => stop.abort();
}
