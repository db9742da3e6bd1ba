import "./style.css";
import { render, type JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { get, hasKey, logIn, logOut, onLoggedOut, roles, type Role, type Session } from "./api";
import { JobsPage } from "./pages/jobs";
import { LivePage } from "./pages/live";
import { OverviewPage } from "./pages/overview";
import { PolicyPage } from "./pages/policy";
import { Problem } from "./parts/parts";
import { usePlace, type Place } from "./route";
import { visible } from "./text";

interface Page { name: string; title: string; key: string; needs: Role; show(place: Place, session: Session): JSX.Element }
const pages: readonly Page[] = [
  { name: "overview", title: "Overview", key: "o", needs: "viewer", show: (_, session) => <OverviewPage session={session} /> },
  { name: "live", title: "Live", key: "l", needs: "developer", show: (place) => <LivePage place={place} /> },
  { name: "policy", title: "Policy", key: "p", needs: "viewer", show: (place, session) => <PolicyPage place={place} session={session} /> },
  { name: "jobs", title: "Jobs", key: "j", needs: "viewer", show: () => <JobsPage /> },
];

type Theme = "auto" | "light" | "dark";
function setTheme(theme: Theme): void {
  localStorage.setItem("exeat.theme", theme);
  if (theme === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  window.dispatchEvent(new Event("exeat-theme"));
}

function Login({ done }: { done(): void }): JSX.Element {
  const [token, set] = useState("");
  const [error, setError] = useState<Error>();
  return (
    <main class="login">
      <form class="panel" onSubmit={(event) => {
        event.preventDefault();
        logIn(token).then(done, setError);
      }}>
        <h1><img src="/assets/icon.svg" alt="" width="28" height="28" /> exeat</h1>
        <label for="token">Token</label>
        <input id="token" type="password" value={token} onInput={(event) => set(event.currentTarget.value)} autocomplete="off" required maxLength={500} autoFocus />
        <Problem error={error} />
        <button type="submit" class="primary">Log in</button>
        <p class="faint">Whoever runs the proxy makes a link that is good once:</p>
        <pre>exeat dashboard --role viewer</pre>
        <p class="faint">A token of your own is made by <code>exeat token --role</code>; its line goes into the file of <code>exeat serve --admin-tokens</code>.</p>
      </form>
    </main>
  );
}

function useKeys(allowed: readonly Page[], help: () => void): void {
  const pending = useRef(false);
  const pagesNow = useRef(allowed);
  pagesNow.current = allowed;
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      const at = event.target as HTMLElement;
      const typing = at.matches("input, select, textarea");
      if (event.key === "Escape" && typing) return at.blur();
      if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
      if (pending.current) {
        pending.current = false;
        const page = pagesNow.current.find((one) => one.key === event.key);
        if (page) location.hash = `#/${page.name}`;
        return;
      }
      if (event.key === "g") pending.current = true;
      else if (event.key === "/") {
        event.preventDefault();
        document.querySelector<HTMLElement>("[data-search]")?.focus();
      } else if (event.key === "t") document.querySelector<HTMLElement>("[data-try]")?.focus();
      else if (event.key === " " && !at.matches("button, a")) {
        const pause = document.querySelector<HTMLElement>("[data-pause]");
        if (pause) { event.preventDefault(); pause.click(); }
      } else if (event.key === "?") help();
      if (event.key === "t") event.preventDefault();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, []);
}

function Shell({ session }: { session: Session }): JSX.Element {
  const place = usePlace();
  const allowed = pages.filter((page) => roles.indexOf(session.role) >= roles.indexOf(page.needs));
  const page = pages.find((one) => one.name === place.page);
  const help = useRef<HTMLDialogElement>(null);
  const [theme, set] = useState<Theme>((localStorage.getItem("exeat.theme") as Theme | null) ?? "auto");
  useKeys(allowed, () => help.current?.showModal());
  useEffect(() => { document.title = `${page?.title ?? "exeat"} · exeat`; }, [page]);
  const change = (): void => {
    const next: Theme = theme === "auto" ? "light" : theme === "light" ? "dark" : "auto";
    set(next);
    setTheme(next);
  };
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>To the page</a>
      <nav aria-label="Pages">
        <p class="brand"><img src="/assets/icon.svg" alt="" width="20" height="20" />exeat</p>
        <ul>
          {allowed.map((one) => <li key={one.name}><a href={`#/${one.name}`} aria-current={one === page ? "page" : undefined}>{one.title}<kbd>g {one.key}</kbd></a></li>)}
        </ul>
        <div class="who">
          <p title={visible(session.name)}>{visible(session.name, 24)}<small>{session.role}</small></p>
          <button type="button" class="plain" onClick={change} title="Light, dark, or as the system says">{theme === "auto" ? "Theme: system" : `Theme: ${theme}`}</button>
          <button type="button" class="plain" onClick={() => help.current?.showModal()}>Keys</button>
          <button type="button" class="plain" onClick={() => void logOut()}>Log out</button>
          <small class="version">{visible(session.version)}</small>
        </div>
      </nav>
      <main id="main" tabIndex={-1}>
        <h1>{page?.title ?? "Nothing here"}</h1>
        {page === undefined ? <p>There is no such page. <a href="#/overview">Overview</a></p>
          : !allowed.includes(page) ? <p class="problem">This page is for the role {page.needs}; yours is {session.role}.</p>
            : page.show(place, session)}
      </main>
      <dialog ref={help} aria-label="Keys" onClick={(event) => { if (event.target === help.current) help.current?.close(); }}>
        <h2>Keys</h2>
        <dl class="facts wide">
          {allowed.map((one) => [<dt key={one.key}><kbd>g</kbd> <kbd>{one.key}</kbd></dt>, <dd>{one.title}</dd>])}
          <dt><kbd>/</kbd></dt><dd>Search</dd>
          <dt><kbd>t</kbd></dt><dd>Try a destination (Policy)</dd>
          <dt><kbd>space</kbd></dt><dd>Pause or resume (Live)</dd>
          <dt><kbd>esc</kbd></dt><dd>Leave a field, close this</dd>
        </dl>
        <button type="button" onClick={() => help.current?.close()}>Close</button>
      </dialog>
    </div>
  );
}

function App(): JSX.Element | null {
  const [session, set] = useState<Session | null>();
  const load = (): void => {
    if (!hasKey()) return set(null);
    get<Session>("session").then(set, () => set(null));
  };
  useEffect(() => {
    onLoggedOut(() => set(null));
    // #/login/TOKEN: out of the address and the history before anything else.
    const once = /^#\/login\/([\w-]+)$/.exec(location.hash);
    if (once === null) return load();
    history.replaceState(null, "", "#/overview");
    logIn(once[1]!).then(load, load);
  }, []);
  if (session === undefined) return null;
  return session === null ? <Login done={load} /> : <Shell session={session} />;
}

setTheme((localStorage.getItem("exeat.theme") as Theme | null) ?? "auto");
render(<App />, document.getElementById("app")!);
